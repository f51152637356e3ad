"""roi_align by patches in shared memory: the bits of global memory, where a patch has room and reads less."""

import chainer
import numpy as np
import pytest
from chainer.backends.cuda import to_cpu

from chainfpn.functions import multi_scale_roi_align, roi_align
from chainfpn.functions.kernels import cuda_align, cuda_launch, cuda_ops, geometry
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
@pytest.mark.parametrize(
    ("outsize", "sampling_ratio", "dtype"),
    [
        ((7, 7), 2, np.float16),
        ((7, 7), 2, np.float32),
        ((7, 7), 2, np.float64),
        ((3, 4), -1, np.float32),
        ((14, 14), 1, np.float32),
    ],
)
def test_the_bits_are_those_of_global_memory_and_gradients_about(outsize, sampling_ratio, dtype, device, monkeypatch):
    x, rois, roi_indices = map(device.asarray, make(70, dtype))
    gy = np.random.default_rng(1).uniform(-1, 1, (len(rois), 70, *outsize)).astype(dtype)

    def run():
        leaf = chainer.Variable(x)
        y = roi_align(leaf, rois, roi_indices, outsize, SCALE, sampling_ratio=sampling_ratio)
        y.grad = device.asarray(gy)
        y.backward()
        xs = [x, x[:, :, ::2, ::2]]
        pyramid = multi_scale_roi_align(xs, rois[::3] * 4, roi_indices[::3], outsize, (240, 320), canonical_level=3)
        return [to_cpu(a) for a in (y.array, pyramid.array, leaf.grad)]

    patched, n_bytes = run(), cuda_align.room_of_patches(x, 4)[0]
    monkeypatch.setattr(cuda_align, "room_of_patches", lambda x, itemsize: (n_bytes, 0))
    *plain, gradient = run()
    for mine, expected in zip(patched, plain, strict=False):
        np.testing.assert_array_equal(mine, expected)
        assert np.isfinite(mine).mean() > 0.5
    tolerance = {np.float16: 2e-3, np.float32: 1e-6, np.float64: 1e-14}[dtype]
    np.testing.assert_allclose(patched[-1], gradient, rtol=0, atol=tolerance * np.abs(gradient).max())


@pytest.mark.parametrize("device", CUDA, indirect=True)
def test_halves_read_in_pairs_are_those_read_one_by_one(device, monkeypatch):
    x, rois, roi_indices = map(device.asarray, make(70, np.float16))
    n_bytes, _ = cuda_align.room_of_patches(x, 2)
    monkeypatch.setattr(cuda_align, "room_of_patches", lambda x, itemsize: (n_bytes, 0))
    even, odd = (to_cpu(roi_align(a, rois, roi_indices, 7, SCALE).array) for a in (x, x[:, :69]))
    np.testing.assert_array_equal(even[:, :69], odd)
    last = to_cpu(roi_align(x[:, 69:], rois, roi_indices, 7, SCALE).array)
    np.testing.assert_array_equal(even[:, 69:], last)


#: Which RoIs have a patch, forward and backward, feature pixels: 7 x 7 bins of two samples an axis where nothing else
#: is said, room for 279.
PATCHED = {
    "small": ((5, 5, 12, 12), True, True),
    "with room": ((2, 3, 17, 18), True, True),
    "with room for sums alone": ((2, 3, 19, 20), False, True),
    "large": ((2, 3, 26, 27), False, False),
    "wide, and read more often than it is wide": ((2, 0, 5, 38), True, False),
    "beside the map": ((2, 60, 9, 69), False, False),
    "half beside the map": ((-10, -10, 9, 9), True, True),
    "nothing": ((np.nan, 0, 4, 4), False, False),
    "reversed": ((9, 9, 2, 2), False, False),
    "with room, of which four bins of one sample read little": ((2, 3, 17, 18), False, False, (2, 2), 1),
}


def test_a_patch_is_taken_where_it_has_room_and_reads_less(tmp_path, monkeypatch, cuda_shim):
    """By a text that does something else with patches."""
    text, instead = cuda_launch.source(), {
        "align_patch(packed, task, taps, patch, channels, outh, outw, stage, y);": (
            "y[(task.r * channels + task.channel) * n_bins + task.bin] = 1000;"
        ),
        "add_patch(gy, task, taps, patch, channels, outh, outw, stage, packed);": "packed[task.channel] = 1000;",
    }  # fmt: skip
    for call, mark in instead.items():
        assert text.count(call) == 1
        text = text.replace(call, mark)
    names = ("align_forward", "pack_level", "align_backward", "clear_level", "unpack_level")
    shim = CudaShim(text, [f"{name}<float, int>" for name in names], tmp_path)
    monkeypatch.setattr(cuda_launch, "get_kernel", shim.get_kernel)
    x = np.ones((1, 70, 30, 40), np.float32)
    for name, (roi, forward, backward, *sampling) in PATCHED.items():
        outsize, ratio = sampling or ((7, 7), 2)
        p = geometry.RoIs(np.array([roi], np.float32), np.zeros(1, np.int32), outsize, 1.0, ratio, True, False)
        y = cuda_align.align_forward(x, p)
        gx = cuda_align.align_backward(np.zeros_like(y), p, x.shape)
        for channel in (0, 64):  # the first of each block
            assert (y[0, channel, 0, 0] == 1000) == forward, name
            assert (gx[0, channel, 0, 0] == 1000) == backward, name


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kilobytes", MULTIPROCESSORS)
def test_patches_leave_room_for_as_many_blocks(kilobytes, dtype, monkeypatch):
    x = np.empty(0, dtype)
    monkeypatch.setattr(cuda_align, "shared_bytes_per_multiprocessor", lambda x: kilobytes << 10)
    n_bytes, room = cuda_align.room_of_patches(x, x.itemsize)
    wide = max(np.dtype(dtype).itemsize, 4)
    staged = constant("TOGETHER") * (constant("BINS") + 1) * wide
    assert n_bytes >= staged
    assert staged // 2 + room * constant("LANES") * np.dtype(dtype).itemsize <= n_bytes
    taps = 2 * (constant("MOST_TAPS") * 2 * wide + constant("MOST_BINS") * 4)
    blocks = 4 if wide == 4 else 2
    assert n_bytes == staged or blocks * (n_bytes + taps + 32 + 1024) <= kilobytes << 10


#: Of each transpose that gathers: in what computes axes or windows, and what ends it after as many calls as are meant.
ONCE = {
    "align": ("        axes[k].count = !is_number", "if (k == 0 && ++calls > {0}) is_number = false;"),
    "ps_align": ("        axes[k].count = !is_number", "if (k == 0 && ++calls > {0}) is_number = false;"),
    "ps_pool": ("    R corners[4];\n    if (!feature_corners(", "if (++calls > {0}) scale = -1;"),
}
#: The same of what adds a RoI to a tile, and how often one of the RoIs below reaches one.
ADDS = "        __syncthreads();\n        for (int m = 0;", "if (hits[thread] && ++calls > {0}) hits[thread] = false;"
REACHED = {"align": 9, "ps_align": 20, "ps_pool": 14}


@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("what", ["axes", "adds"])
def test_a_gather_looks_at_a_roi_once_for_each_tile_and_adds_it_where_it_reaches(
    name, what, tmp_path, monkeypatch, cuda_shim
):
    """By a text that does something else when it is called once more."""
    line, instead = ONCE[name] if what == "axes" else ADDS
    text = cuda_launch.source()
    assert text.count(line) == 1
    text = text.replace("const bool is_number = feature_corners", "bool is_number = feature_corners")
    names = (f"{name}_gather", *(f"{step}_level" for step in ("pack", "clear", "unpack") if name == "align"))
    kernels = [f"{kernel}<float, int>" for kernel in names]
    rois = np.array([(1, 1, 5, 5), (1, 5, 15, 13), (0, 0, 15, 15)], np.float32)
    p = geometry.RoIs(rois, np.zeros(3, np.int32), (2, 2), 1.0, 2, True, False)
    gy = np.random.default_rng(0).uniform(1, 2, (3, 1, 2, 2)).astype(np.float32)
    n_planes = 1 if name == "align" else 4
    shape = (1, n_planes, 16, 16)
    n_tiles = 4 if name == "align" else 2 * n_planes  # of 8 x 8, or 8 x 32, pixels
    n_calls = n_tiles * len(rois) if what == "axes" else REACHED[name]
    backward = getattr(cuda_ops, f"{name}_backward")
    counted = text.replace(line, f"static int calls = 0;\n{instead.format(n_calls)}\n{line}")
    results = []
    for shim in (cuda_shim, CudaShim(counted, kernels, tmp_path)):
        monkeypatch.setattr(cuda_launch, "get_kernel", shim.get_kernel)
        with chainer.using_config("cudnn_deterministic", True):
            results += [backward(gy, p, shape) for _ in range(2)]
    np.testing.assert_array_equal(results[2], results[0])
    assert (results[3] != results[0]).any()  # it is called as often again
