"""Preprocess on a GPU: the bits of the CPU, and images that stay where they are."""

import chainer
import numpy as np
import pytest

from chainfpn.links import ChainerCVPreprocess, Preprocess
from chainfpn.links.detectors.detector import Detector

pytestmark = pytest.mark.gpu

#: Larger and smaller than the batch, and as large; a float, an integer.
SHAPES_AND_DTYPES = (((3, 70, 91), np.float32), ((3, 64, 64), np.float32), ((3, 300, 200), np.uint8))


def _imgs():
    random = np.random.default_rng(0)
    return [random.uniform(0, 255, shape).astype(dtype) for shape, dtype in SHAPES_AND_DTYPES]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options", [{"min_size": 64, "max_size": 100}, {"fixed_size": (50, 77)}, {"fixed_size": (7, 300)}]
)
def test_the_batch_of_a_gpu_is_the_cpus(dtype, options):
    cupy = pytest.importorskip("cupy")
    preprocess = Preprocess(**options)
    expected, sizes = preprocess(_imgs(), dtype)
    x, found = preprocess([cupy.asarray(img) for img in _imgs()], dtype)
    assert isinstance(x, cupy.ndarray)
    assert (found, x.dtype) == (sizes, expected.dtype)
    np.testing.assert_array_equal(cupy.asnumpy(x), expected)


def test_views_are_prepared_like_arrays_of_their_own():
    cupy = pytest.importorskip("cupy")
    (img, *_), preprocess = _imgs(), Preprocess(64, 100)
    flipped = cupy.asarray(img)[:, ::-1, ::2]
    np.testing.assert_array_equal(cupy.asnumpy(preprocess([flipped])[0]), preprocess([img[:, ::-1, ::2]])[0])


@pytest.mark.parametrize("preprocess", [Preprocess(64, 100), ChainerCVPreprocess(64, 100)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_detector_prepares_on_its_device(preprocess, dtype):
    cupy = pytest.importorskip("cupy")
    model = Detector(3, preprocess=preprocess)
    with chainer.using_config("dtype", dtype):
        expected, _ = model.prepare(_imgs())
        model.to_device("@cupy:0")
        for imgs in (_imgs(), [cupy.asarray(img) for img in _imgs()]):
            x, _ = model.prepare(imgs)
            assert isinstance(x, cupy.ndarray)
            np.testing.assert_array_equal(cupy.asnumpy(x), expected)
