"""roi_align from patches in shared memory: the bits of global memory, where a patch has room and reads less."""

import numpy as np
import pytest
from chainer.backends.cuda import to_cpu

from chainfpn.functions import multi_scale_roi_align, roi_align
from chainfpn.functions.kernels import cuda_align, cuda_launch
from chainfpn.functions.kernels.cuda_launch import constant
from chainfpn_tests.functions_tests.test_roi_ops import ODD_ROIS, ROIS, random_rois
from reference.cuda_shim import CudaShim
from reference.devices import CUDA

SCALE = 0.5
#: Shared memory of a multiprocessor, KB: compute capability 7.5, 8.6, 7.0, 8.0 and 9.0.
MULTIPROCESSORS = (64, 100, 96, 164, 228)


def make(channels, dtype):
    rng = np.random.default_rng(0)
    rois = np.concatenate(
        [[*ROIS.values(), *ODD_ROIS.values()], random_rois(6, np.random.RandomState(0)), [(0, 0, 60, 80)]]
    )
    x = rng.uniform(-1, 1, (2, channels, 30, 40)).astype(dtype)
    return x, rois.astype(np.float32), (np.arange(len(rois)) % 2).astype(np.int32)


@pytest.mark.parametrize("device", CUDA, indirect=True)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("outsize", "sampling_ratio"), [((7, 7), 2), ((3, 4), -1), ((14, 14), 1)])
def test_the_bits_are_those_of_global_memory(outsize, sampling_ratio, dtype, device, monkeypatch):
    x, rois, roi_indices = map(device.asarray, make(70, dtype))

    def run():
        y = roi_align(x, rois, roi_indices, outsize, SCALE, sampling_ratio=sampling_ratio)
        xs = [x, x[:, :, ::2, ::2]]
        pyramid = multi_scale_roi_align(xs, rois[::3] * 4, roi_indices[::3], outsize, (240, 320), canonical_level=3)
        return [to_cpu(a.array) for a in (y, pyramid)]

    patched, n_bytes = run(), cuda_align.room_of_patches(x)[0]
    monkeypatch.setattr(cuda_align, "room_of_patches", lambda x: (n_bytes, 0))
    for mine, plain in zip(patched, run(), strict=True):
        np.testing.assert_array_equal(mine, plain)
        assert np.isfinite(mine).mean() > 0.5


#: Which RoIs have a patch, feature pixels: 7 x 7 bins of two samples an axis, 279 pixels' room.
PATCHED = {
    "small": ((5, 5, 12, 12), True),
    "with room": ((2, 3, 17, 18), True),
    "without room": ((2, 3, 19, 20), False),
    "wide, and read more often than it is wide": ((2, 0, 5, 38), True),
    "beside the map": ((2, 60, 9, 69), False),
    "half beside the map": ((-10, -10, 9, 9), True),
    "nothing": ((np.nan, 0, 4, 4), False),
    "reversed": ((9, 9, 2, 2), False),
}


def test_a_patch_is_taken_where_it_has_room_and_reads_less(tmp_path, monkeypatch, cuda_shim):
    call = "align_patch(packed, task, taps, patch, channels, outh, outw, stage, y);"
    mark = "y[(task.r * channels + task.channel) * n_bins + task.bin] = 1000;"
    text = cuda_launch.source()
    assert call in text
    kernels = ["align_forward<float, int>", "pack_level<float, int>"]
    shim = CudaShim(text.replace(call, mark), kernels, tmp_path)
    monkeypatch.setattr(cuda_launch, "get_kernel", shim.get_kernel)
    x = np.ones((1, 70, 30, 40), np.float32)
    rois = np.array([roi for roi, _ in PATCHED.values()], np.float32)
    p = cuda_align.geometry.RoIs(rois, np.zeros(len(rois), np.int32), (7, 7), 1.0, 2, True, False)
    y = cuda_align.align_forward(x, p)
    expected = [patched for _, patched in PATCHED.values()]
    for channel in (0, 64):  # the first of each block
        assert (y[:, channel, 0, 0] == 1000).tolist() == expected


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kilobytes", MULTIPROCESSORS)
def test_patches_leave_room_for_as_many_blocks(kilobytes, dtype, monkeypatch):
    x = np.empty(0, dtype)
    monkeypatch.setattr(cuda_align, "shared_bytes_per_multiprocessor", lambda x: kilobytes << 10)
    n_bytes, room = cuda_align.room_of_patches(x)
    wide = max(np.dtype(dtype).itemsize, 4)
    staged = constant("TOGETHER") * (constant("BINS") + 1) * wide
    assert n_bytes >= staged
    assert staged // 2 + room * constant("LANES") * np.dtype(dtype).itemsize <= n_bytes
    taps = 2 * (constant("MOST_TAPS") * 2 * wide + constant("MOST_BINS") * 4)
    blocks = 4 if wide == 4 else 2
    assert n_bytes == staged or blocks * (n_bytes + taps + 32 + 1024) <= kilobytes << 10
