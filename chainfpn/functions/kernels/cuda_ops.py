"""The RoI ops on CuPy arrays: the same functions as ``kernels.cpu_ops``, by the CUDA code of this folder.

Each kernel is compiled by NVRTC when a process first needs it, for its dtype and index width: about 0.1 s. Launches go
to the current stream of the array's device. With ``chainer.config.cudnn_deterministic`` the backward sums in a fixed
order, without atomics.
"""

import functools
import math
import pathlib
import re
from collections.abc import Callable

import chainer
import numpy as np
from chainer import backend
from chainer.backends import cuda

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import compute_dtype, geometry, iou_match, round_down

#: In the order of compilation, as one source.
FILES = ("common.cu", "samples.cu", "roi_align.cu", "ps_roi_align.cu", "windows.cu", "nms.cu")

#: Without fused multiply-add coordinates are those of the CPU, to the last bit.
OPTIONS = ("--std=c++17", "--fmad=false")

#: C++ type of each dtype of a map.
TYPES = {np.dtype(np.float16): "half16", np.dtype(np.float32): "float", np.dtype(np.float64): "double"}

THREADS = 256

#: Threads beyond this many take several elements each.
MAX_BLOCKS = 2**16

#: Indices below this fit into the faster kernels with 32-bit indices.
INT_LIMIT = 2**31

#: Channels one thread of roi_align pools; the CHANNELS of samples.cu.
CHANNELS = 8

#: Boxes that one launch of ``nms_tile`` decides on; the TILE of nms.cu.
TILE = 256


@functools.cache
def source() -> str:
    """Read the CUDA code.

    Returns:
        str: All files in one.
    """
    return "\n".join(pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8") for name in FILES)


def kernel_names() -> list[str]:
    """List the kernel templates."""
    return re.findall(r"__global__ void (\w+)", source())


@functools.cache
def get_kernel(name: str, device: int) -> Callable[..., None]:
    """Compile one instance of a template with CuPy.

    Args:
        name (str): For instance ``"align_forward<float, int>"``.
        device (int): The device it will run on.

    Returns:
        callable: Takes grid, block and arguments; launches on the current stream.
    """
    with cuda.cupy.cuda.Device(device):
        return cuda.cupy.RawModule(code=source(), options=OPTIONS, name_expressions=(name,)).get_function(name)


def _launch(kernel, x, n, *args):
    """Run ``kernel`` once for each of n elements; what ``_index`` and ``_real`` mark gets the type of the instance."""
    if n == 0:
        return
    largest = max(n + MAX_BLOCKS * THREADS, *(a.size for a in args if hasattr(a, "size")))
    index, index_type = (np.int32, "int") if largest < INT_LIMIT else (np.int64, "long long")
    real = compute_dtype(x.dtype).type
    args = [a(index, real) if callable(a) else a for a in args]
    function = get_kernel(f"{kernel}<{TYPES[x.dtype]}, {index_type}>", _device_id(x))
    function((min(-(-n // THREADS), MAX_BLOCKS),), (THREADS,), tuple(args))


def _on_its_device(function):
    """Run a function on the device of its first argument: results are allocated there, too."""

    @functools.wraps(function)
    def run(x, *args):
        with cuda.get_device_from_array(x):
            return function(x, *args)

    return run


def _device_id(x):
    return x.device.id if isinstance(x, cuda.ndarray) else -1


def _index(value):
    """Mark an argument of the kernel's index type."""
    return lambda index, real: index(value)


def _real(value):
    """Mark an argument of the kernel's real type."""
    return lambda index, real: real(value)


def _contiguous(x):
    return backend.get_array_module(x).ascontiguousarray(x)


def _sampling(p):
    """List the arguments that lay the samples."""
    offset = _real(0.5 if p.half_pixel else 0)
    return *_binning(p), offset, np.int32(p.at_least_one), np.int32(p.sampling_ratio)


def _binning(p):
    """List the arguments that lay the bins."""
    return *map(np.int32, p.outsize), _real(p.spatial_scale)


def _by_image(p, n_images):
    """Sort the RoIs by image, and find where each image's begin and end."""
    xp = backend.get_array_module(p.rois)
    order = xp.argsort(p.roi_indices, kind="stable")
    ends = xp.searchsorted(p.roi_indices[order], xp.arange(n_images + 1, dtype=np.int32))
    return order.astype(np.int32), ends.astype(np.int32)


def _linear(name, arguments, *, n_together=1, position_sensitive=False):
    """Make an op and its transpose, see ``kernels.cpu_ops``.

    Args:
        name (str): Of the kernels, ahead of ``_forward``, ``_backward`` and ``_gather``.
        arguments (callable): RoIs to the kernels' last arguments but the result.
        n_together (int): Channels that a thread computes.
        position_sensitive (bool): Whether each bin has channels of its own.
    """

    @_on_its_device
    def forward(x, p):
        x, n_bins = _contiguous(x), math.prod(p.outsize)
        channels = x.shape[1] // n_bins if position_sensitive else x.shape[1]
        y = backend.get_array_module(x).empty((len(p.rois), channels, *p.outsize), x.dtype)
        maps = (_index(len(p.rois)), _index(channels), *map(np.int32, x.shape[2:]))
        n = len(p.rois) * -(-channels // n_together) * n_bins
        _launch(f"{name}_forward", x, n, x, p.rois, p.roi_indices, *maps, *arguments(p), y)
        return y

    @_on_its_device
    def backward(gy, p, x_shape):
        """Gather where the order of sums must not vary, else add atomically."""
        gy, n_images, pixels = _contiguous(gy), x_shape[0], x_shape[2:]
        xp, n_bins = backend.get_array_module(gy), math.prod(p.outsize)
        maps = (_index(gy.shape[1]), *map(np.int32, pixels), *arguments(p))
        if chainer.config.cudnn_deterministic:
            gx = xp.empty(x_shape, gy.dtype)
            n = n_images * -(-x_shape[1] // n_together) * math.prod(pixels)
            _launch(f"{name}_gather", gy, n, gy, p.rois, *_by_image(p, n_images), _index(n_images), *maps, gx)
            return gx
        gx = xp.zeros(x_shape, compute_dtype(gy.dtype))
        n = len(p.rois) * -(-gy.shape[1] // n_together) * n_bins
        _launch(f"{name}_backward", gy, n, gy, p.rois, p.roi_indices, _index(len(p.rois)), *maps, gx)
        return gx.astype(gy.dtype, copy=False)

    return forward, backward


align_forward, align_backward = _linear("align", _sampling, n_together=CHANNELS)
ps_align_forward, ps_align_backward = _linear("ps_align", _sampling, position_sensitive=True)
ps_pool_forward, ps_pool_backward = _linear("ps_pool", _binning, position_sensitive=True)


def _max(kernel, x, shape, rois, sizes, lowest):
    xp = backend.get_array_module(x)
    y, argmax = xp.empty(shape, x.dtype), xp.empty(shape, np.int32)
    _launch(kernel, x, y.size, _contiguous(x), *rois, *sizes, _real(lowest), y, argmax)
    return y, argmax


@_on_its_device
def pool_forward(x: Array, p: geometry.RoIs) -> tuple[Array, Array]:
    """Run roi_pool: see ``cpu_ops.pool_forward``."""
    sizes = (_index(len(p.rois)), _index(x.shape[1]), *map(np.int32, x.shape[2:]), *_binning(p))
    shape = (len(p.rois), x.shape[1], *p.outsize)
    return _max("pool_forward", x, shape, (p.rois, p.roi_indices), sizes, float(np.finfo(x.dtype).min))


@_on_its_device
def adaptive_max_forward(x: Array, outsize: Size) -> tuple[Array, Array]:
    """Take the maximum over a grid of windows of the whole map: see ``cpu_ops.adaptive_max_forward``."""
    sizes = (_index(x.shape[0] * x.shape[1]), *map(np.int32, x.shape[2:]), *map(np.int32, outsize))
    return _max("adaptive_max_forward", x, (*x.shape[:2], *outsize), (), sizes, -np.inf)


@_on_its_device
def scatter(gy: Array, argmax: Array, roi_indices: Array, x_shape: tuple) -> Array:
    """Add each gradient to the pixel its maximum came from: see ``cpu_ops.scatter``."""
    gy = _contiguous(gy)
    xp = backend.get_array_module(gy)
    plane = x_shape[2] * x_shape[3]
    if chainer.config.cudnn_deterministic:
        gx = xp.zeros(x_shape, gy.dtype)
        planes = roi_indices.astype(np.int64)[:, None] * x_shape[1] + xp.arange(x_shape[1])  # (R', C)
        pixels = xp.where(argmax >= 0, planes[:, :, None, None] * plane + argmax, -1).ravel()
        order = xp.argsort(pixels, kind="stable").astype(np.int64)
        _launch("scatter_sorted", gy, gy.size, gy, pixels[order], order, _index(gy.size), gx)
        return gx
    gx = xp.zeros(x_shape, compute_dtype(gy.dtype))
    n_bins = gy.shape[2] * gy.shape[3]
    sizes = (_index(gy.shape[0]), _index(gy.shape[1]), _index(n_bins), _index(plane))
    _launch("scatter_atomic", gy, gy.size, gy, argmax, roi_indices, *sizes, gx)
    return gx.astype(gy.dtype, copy=False)


@_on_its_device
def nms(boxes: Array, label: Array, thresh: float, limit: int) -> Array:
    """Keep each box that no earlier kept box of its label overlaps: see ``cpu_ops.nms``; nothing goes to the host."""
    xp = backend.get_array_module(boxes)
    boxes = xp.ascontiguousarray(boxes, compute_dtype(boxes.dtype))
    n = len(boxes)
    alive, keep = xp.ones(n, bool), xp.zeros(n, bool)
    masks = xp.empty((n, TILE // 64), np.uint64)
    thresh = _real(round_down(thresh, boxes.dtype))
    _launch("nms_within_tiles", boxes, n, boxes, label, _index(n), thresh, masks)
    for first in range(0, n, TILE):
        _launch("nms_tile", boxes, n - first, boxes, label, masks, _index(first), _index(n), thresh, alive, keep)
    return keep & (xp.cumsum(keep) <= limit)


@_on_its_device
def match(boxes: Array, gt_boxes: Array, low_quality: bool) -> tuple[Array, Array, Array]:
    """Find the ground-truth box of highest IoU for each box: see ``cpu_ops.match``."""
    xp = backend.get_array_module(boxes)
    dtype = np.result_type(boxes.dtype, gt_boxes.dtype, np.float32)
    boxes, gt_boxes = (xp.ascontiguousarray(a.T, dtype) for a in (boxes, gt_boxes))
    return iou_match.match(boxes, gt_boxes, low_quality)
