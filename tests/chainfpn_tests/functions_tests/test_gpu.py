"""What only a GPU can show: streams, devices, maps beyond 32-bit indices. Results are compared in the other tests."""

import chainer
import numpy as np
import pytest

from chainfpn import boxes, functions
from reference import fake_cupy

pytestmark = pytest.mark.gpu

ROIS = np.array([(2, 3, 9, 11), (1, 5, 9, 13), (-8, -20, 60, 90)], np.float32)


@pytest.fixture
def cupy():
    return pytest.importorskip("cupy")


def arguments(xp):
    x = xp.asarray(np.random.RandomState(0).uniform(-1, 1, (2, 8, 11, 14)).astype(np.float32))
    return x, xp.asarray(ROIS), xp.asarray([0, 1, 1], np.int32)


@pytest.mark.parametrize("name", ["roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"])
def test_runs_on_the_current_stream(cupy, name):
    expected = getattr(functions, name)(*arguments(np), 2, 0.5).array
    x, rois, roi_indices = arguments(cupy)
    stream = cupy.cuda.Stream(non_blocking=True)
    late = cupy.zeros_like(x)
    cupy.cuda.Device().synchronize()
    with stream:
        for _ in range(200):  # keeps the stream busy, so that another would read zeros
            late[...] = 0
        late[...] = x
        y = getattr(functions, name)(late, rois, roi_indices, 2, 0.5).array
    stream.synchronize()
    np.testing.assert_allclose(cupy.asnumpy(y), expected, atol=1e-6)


def test_runs_on_the_device_of_the_map(cupy):
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one CUDA device only")
    with cupy.cuda.Device(1):
        x, rois, roi_indices = arguments(cupy)
    y = functions.roi_align(x, rois, roi_indices, 2, 0.5).array
    assert y.device.id == 1
    np.testing.assert_allclose(cupy.asnumpy(y), functions.roi_align(*arguments(np), 2, 0.5).array, atol=1e-6)


def test_a_map_beyond_32_bit_indices(cupy):
    shape = (1, 1100, 1400, 1400)
    if cupy.cuda.runtime.memGetInfo()[0] < 3 * 2 * np.prod(shape, dtype=np.int64):
        pytest.skip("not enough memory")
    x = cupy.zeros(shape, np.float16)
    x[0, -1] = 3
    rois, roi_indices = cupy.asarray([(0, 0, 1399, 1399)], np.float32), cupy.zeros(1, np.int32)
    v = chainer.Variable(x)
    for op in (functions.roi_align, functions.roi_pool):
        y = op(v, rois, roi_indices, 2, 1.0)
        # a bin of roi_align sums 490,000 samples one by one in float32, which gave 2.996 on a card
        np.testing.assert_allclose(cupy.asnumpy(y.array[0, -1]), np.full((2, 2), 3), rtol=5e-3)
        assert not y.array[0, :-1].any()


def test_nms_on_many_boxes(cupy):
    rng = np.random.RandomState(0)
    n = 3_000 if fake_cupy.is_installed() else 30_000
    corners = rng.uniform(0, 3000, (n, 2))
    bbox = np.concatenate([corners, corners + rng.uniform(10, 100, (n, 2))], axis=1).astype(np.float32)
    score = rng.uniform(0, 1, n).astype(np.float32)
    keep = boxes.nms(cupy.asarray(bbox), 0.5, cupy.asarray(score))
    np.testing.assert_array_equal(cupy.asnumpy(keep), boxes.nms(bbox, 0.5, score))
