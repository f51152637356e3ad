"""Images are prepared in one compiled pass, to the very bits that NumPy gives."""

import numpy as np
import pytest

from chainfpn.links import Preprocess
from chainfpn.links.detectors import preprocess as module

#: Preprocesses that enlarge, reduce, and stretch.
PREPROCESSES = {
    "larger": Preprocess(300, 500),
    "smaller": Preprocess(48, 90, size_divisible=8),
    "fixed": Preprocess(fixed_size=(61, 59), size_divisible=1),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("name", PREPROCESSES)
def test_the_compiled_pass_has_numpys_bits(name, kind, dtype, monkeypatch):
    random = np.random.default_rng(0)
    sizes = (120, 160), (321, 97), (1, 1), (17, 99)
    imgs = [random.uniform(0, 255, (3, *size)).astype(kind) for size in sizes]
    imgs.append(imgs[0].transpose(0, 2, 1))  # not contiguous
    numba_preprocess = module.import_compiled("numba_preprocess")
    given, prepare = [], numba_preprocess.prepare
    monkeypatch.setattr(numba_preprocess, "prepare", lambda img, *args: given.append(img) or prepare(img, *args))
    compiled, compiled_sizes = PREPROCESSES[name](imgs, dtype)
    assert [img.dtype for img in given] == [kind if kind == np.uint8 else dtype] * len(imgs)  # bytes are not copied
    monkeypatch.setattr(module, "import_compiled", lambda name: None)
    plain, plain_sizes = PREPROCESSES[name](imgs, dtype)
    assert compiled.dtype == plain.dtype == dtype
    assert [tuple(size) for size in compiled_sizes] == [tuple(size) for size in plain_sizes]
    np.testing.assert_array_equal(compiled, plain)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("name", PREPROCESSES)
def test_a_gpu_prepares_as_the_cpu(name, kind, dtype):
    cupy = pytest.importorskip("cupy")
    random = np.random.default_rng(0)
    imgs = [random.uniform(0, 255, (3, *size)).astype(kind) for size in ((31, 40), (80, 24), (1, 1), (17, 99))]
    expected, sizes = PREPROCESSES[name](imgs, dtype)
    x, sizes_there = PREPROCESSES[name](list(map(cupy.asarray, imgs)), dtype)
    assert isinstance(x, cupy.ndarray)
    assert [tuple(size) for size in sizes_there] == [tuple(size) for size in sizes]
    np.testing.assert_array_equal(cupy.asnumpy(x), expected)
