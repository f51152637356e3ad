"""The ops on CuPy arrays: the same functions as ``kernels.cpu_ops``, by the CUDA code of this folder.

With ``chainer.config.cudnn_deterministic`` a backward sums in a fixed order, without atomics.
"""

import math

import chainer
import numpy as np
from chainer import backend

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import compute_dtype, round_down
from chainfpn.functions.kernels.cuda_align import (
    align_backward,
    align_forward,
    by_image,
    pool_forward,
    pyramid_align_backward,
    pyramid_align_forward,
)
from chainfpn.functions.kernels.cuda_launch import NO_ARRAY, constant, index, launch, launch_each, on_its_device, real
from chainfpn.functions.kernels.cuda_match import match

__all__ = [
    "align_backward",
    "align_forward",
    "match",
    "pool_forward",
    "pyramid_align_backward",
    "pyramid_align_forward",
]

#: Bytes of the masks of overlap that NMS holds at once.
MASK_BYTES = 2**26

#: Threads of the one block of ``nms_scan``.
SCAN_THREADS = 1024


def _sampling(p):
    """List the arguments that lay the samples."""
    return *_binning(p), real(0.5 if p.half_pixel else 0), np.int32(p.at_least_one), np.int32(p.sampling_ratio)


def _binning(p):
    """List the arguments that lay the bins."""
    return *map(np.int32, p.outsize), real(p.spatial_scale)


def _position_sensitive(name, arguments):
    """Make an op whose bins have channels of their own, and its transpose, see ``kernels.cpu_ops``.

    Args:
        name (str): Of the kernels, ahead of ``_forward``, ``_backward`` and ``_gather``.
        arguments (callable): RoIs to the kernels' last arguments but the result.
    """

    def run(kernel, like, p, source, channels, maps, result):
        """Launch a block for each share of the bins of a RoI."""
        n_tasks = len(p.rois) * -(-channels * math.prod(p.outsize) // constant("SHARE"))
        sizes = (index(maps[0]), index(n_tasks), index(channels), *map(np.int32, maps[2:]))
        launch(kernel, like, n_tasks, source, p.rois, p.roi_indices, *sizes, *arguments(p), result)
        return result

    @on_its_device
    def forward(x, p):
        xp = backend.get_array_module(x)
        channels = x.shape[1] // math.prod(p.outsize)
        y = xp.empty((len(p.rois), channels, *p.outsize), x.dtype)
        return run(f"{name}_forward", x, p, xp.ascontiguousarray(x), channels, x.shape, y)

    @on_its_device
    def backward(gy, p, x_shape):
        """Gather where the order of sums must not vary, else add atomically."""
        xp, n_images, channels = backend.get_array_module(gy), x_shape[0], gy.shape[1]
        gy = xp.ascontiguousarray(gy)
        if chainer.config.cudnn_deterministic:
            gx = xp.empty(x_shape, gy.dtype)
            tiles = -(-x_shape[2] // constant("TILE_ROWS")) * -(-x_shape[3] // constant("LANES"))
            n_tasks = n_images * x_shape[1] * tiles
            maps = (index(n_tasks), index(channels), *map(np.int32, x_shape[2:]), *arguments(p))
            launch(f"{name}_gather", gy, n_tasks, gy, p.rois, *by_image(p, n_images), *maps, gx)
            return gx
        gx = xp.zeros(x_shape, compute_dtype(gy.dtype))
        return run(f"{name}_backward", gy, p, gy, channels, x_shape, gx).astype(gy.dtype, copy=False)

    return forward, backward


ps_align_forward, ps_align_backward = _position_sensitive("ps_align", _sampling)
ps_pool_forward, ps_pool_backward = _position_sensitive("ps_pool", _binning)


@on_its_device
def adaptive_max_forward(x: Array, outsize: Size) -> tuple[Array, Array]:
    """Take the maximum over a grid of windows of the whole map: see ``cpu_ops.adaptive_max_forward``."""
    xp, shape = backend.get_array_module(x), (*x.shape[:2], *outsize)
    y, argmax = xp.empty(shape, x.dtype), xp.empty(shape, np.int32)
    sizes = (index(x.shape[0] * x.shape[1]), *map(np.int32, x.shape[2:]), *map(np.int32, outsize))
    launch_each("adaptive_max_forward", x, y.size, xp.ascontiguousarray(x), *sizes, real(-np.inf), y, argmax)
    return y, argmax


@on_its_device
def scatter(gy: Array, argmax: Array, roi_indices: Array, x_shape: tuple) -> Array:
    """Add each gradient to the pixel its maximum came from: see ``cpu_ops.scatter``."""
    xp = backend.get_array_module(gy)
    gy, plane = xp.ascontiguousarray(gy), x_shape[2] * x_shape[3]
    if chainer.config.cudnn_deterministic:
        gx = xp.zeros(x_shape, gy.dtype)
        planes = roi_indices.astype(np.int64)[:, None] * x_shape[1] + xp.arange(x_shape[1])  # (R', C)
        pixels = xp.where(argmax >= 0, planes[:, :, None, None] * plane + argmax, -1).ravel()
        order = xp.argsort(pixels, kind="stable").astype(np.int64)
        launch_each("scatter_sorted", gy, gy.size, gy, pixels[order], order, index(gy.size), gx)
        return gx
    gx = xp.zeros(x_shape, compute_dtype(gy.dtype))
    sizes = (index(gy.shape[0]), index(gy.shape[1]), index(gy.shape[2] * gy.shape[3]), index(plane))
    launch_each("scatter_atomic", gy, gy.size, gy, argmax, roi_indices, *sizes, gx)
    return gx.astype(gy.dtype, copy=False)


@on_its_device
def suppress(boxes: Array, score: Array | None, label: Array | None, thresh: float, limit: int) -> tuple[Array, Array]:
    """Find the boxes that no better kept box of their label overlaps: see ``cpu_ops.suppress``.

    Two launches for up to 23,000 boxes, two for each ``MASK_BYTES`` of masks beyond.

    Returns:
        tuple of array: int64, room for ``limit`` indices, and how many of them there are, (1,).
    """
    xp, n = backend.get_array_module(boxes), len(boxes)
    boxes = xp.ascontiguousarray(boxes, compute_dtype(boxes.dtype))
    at_most = float(round_down(thresh, boxes.dtype))
    rising = NO_ARRAY if score is None else xp.argsort(score[::-1], kind="stable")
    label = NO_ARRAY if label is None else xp.ascontiguousarray(label, np.int64)
    n_words, rows = -(-n // constant("WORD")), constant("THREADS")
    step = max(MASK_BYTES // 8 // n_words // rows, 1) * rows
    masks, keep = xp.empty((min(n, step), n_words), np.uint64), xp.empty(limit, np.int64)
    dropped = xp.zeros(n_words + 1, np.uint64)
    for first in range(0, n, step):
        last = min(first + step, n)
        part = (index(n), index(first), index(last))
        n_blocks = -(-(last - first) // rows) * (n_words - first // constant("WORD"))
        launch("nms_masks", boxes, n_blocks, boxes, rising, label, *part, real(at_most), masks)
        launch("nms_scan", boxes, 1, masks, rising, *part, np.int64(limit), dropped, keep, threads=SCAN_THREADS)
    return keep, dropped[n_words:].view(np.int64)
