"""The RoI ops on the CPU, compiled: what ``kernels.cpu_ops`` runs where Numba is installed.

Work is cut into tasks that write to disjoint memory (image x block of channels x chunk of RoIs, or image x bin), which
threads take in turn; the kernels release the GIL. The result does not depend on the number of threads.
"""

import itertools
import math
from functools import partial
from typing import Any

import chainer
import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import geometry, numba_align, numba_max, numba_ps, threads
from chainfpn.functions.kernels.numba_bilinear import pixel_taps, sample_taps
from chainfpn.functions.kernels.numba_common import Workspace, aligned
from chainfpn.functions.kernels.numba_lanes import LANES
from chainfpn.functions.kernels.numba_match import match
from chainfpn.functions.kernels.numba_nms_grid import nms

__all__ = ["match", "nms"]

#: Numbers of a share of a matrix that is turned.
SHARE = 1 << 18


def _flat(a):
    """Merge the last two axes, without copying."""
    return a.reshape(*a.shape[:2], a.shape[2] * a.shape[3])


def _members(roi_indices, n_images):
    """List the RoIs of each image, in order."""
    order = np.argsort(roi_indices, kind="stable")
    return np.split(order, np.searchsorted(roi_indices[order], np.arange(1, n_images)))[:n_images]


def _sample_window(grid, outsize, map_shape, members):
    """Bound the pixels that the samples of ``members`` read: y0, y1, x0, x1."""
    members = members[(grid.n[members] > 0).all(axis=1)]
    if not members.size:
        return (0, 0, 0, 0)
    begin = grid.start[members]
    end = begin + grid.size[members] * np.array(outsize, begin.dtype)
    low = np.floor(np.minimum(begin, end).min(axis=0)).astype(np.int64) - 1
    high = np.floor(np.maximum(begin, end).max(axis=0)).astype(np.int64) + 3
    y0, x0 = np.clip(low, 0, np.array(map_shape) - 1).tolist()  # samples just outside the map read its border
    y1, x1 = np.clip(high, 1, map_shape).tolist()
    return y0, y1, x0, x1


def _pixel_window(windows, members):
    """Bound the pixels of the windows of ``members``: y0, y1, x0, x1."""
    if not members.size:
        return (0, 0, 0, 0)
    rows, columns = windows.rows[members], windows.columns[members]
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def _run_blocks(kernel, maps, roi_indices, bound, n_bins, *args, chunked):
    """Call ``kernel(workspace, map, first channel, window, members, *args)`` for all images and blocks of channels.

    With ``chunked``, the RoIs of an image are cut where threads would idle otherwise.
    """
    n_images, n_channels = maps.shape[:2]
    firsts = range(0, n_channels, LANES)
    n_chunks = -(-threads.N_THREADS // max(n_images * len(firsts), 1)) if chunked else 1
    tasks, size = [], 0
    for image, members in enumerate(_members(roi_indices, n_images)):
        for part in np.array_split(members, n_chunks):
            if part.size or not chunked:
                window = y0, y1, x0, x1 = bound(part)
                size = max(size, (y1 - y0) * (x1 - x0) * LANES)
                tasks += [(maps[image], first, window, part, *args) for first in firsts]
    line, cells = maps.shape[3] * LANES, n_bins * LANES
    sizes = [(n, maps.dtype) for n in (size, line, cells)] + [(n, np.int32) for n in (line, cells)]
    threads.run(kernel, tasks, lambda: Workspace(*[aligned(*each) for each in sizes]))


def _run_align(kernel, maps, level, bins, *, chunked):
    places, p = level
    grid, map_shape = geometry.sample_grid(p), maps.shape[2:]
    bound = partial(_sample_window, grid, p.outsize, map_shape)
    taps = sample_taps(grid, p.outsize, map_shape, by_position=True)
    _run_blocks(kernel, maps, p.roi_indices, bound, math.prod(p.outsize), *taps, places, _flat(bins), chunked=chunked)


def _run_bins(kernel, maps, p, taps, bins, *, is_mean):
    """Call ``kernel(lists, plane, map, width, bin, members, *taps, is_mean, bins)`` for all images and bins."""
    n_pixels, width = math.prod(maps.shape[2:]), maps.shape[3]
    images = itertools.product(enumerate(_members(p.roi_indices, len(maps))), range(bins.shape[1]))
    tasks = [(_flat(maps)[k], width, b, members, *taps, is_mean, bins) for (k, members), b in images]

    def run(own: tuple[Any, Array], *task: Any) -> None:
        kernel(*own, *task)

    def make_own() -> tuple[tuple[Array, ...], Array]:
        room, n, dtype = max(numba_ps.LISTED, n_pixels), len(p.rois) + 1, maps.dtype
        lists = np.empty(room, np.uint32), np.empty(room, dtype), np.zeros(n, np.uint64), np.empty(n, dtype)
        return lists, np.empty(n_pixels, dtype)

    threads.run(run, tasks, make_own)


def _transposed(a):
    """Copy (M, N) to (N, M)."""
    turned = np.empty(a.shape[::-1], a.dtype)
    shares = threads.cut(len(a), a.size / SHARE)
    threads.run(numba_ps.turn, [(a, *lines, turned) for lines in shares])
    return turned


def _ps_forward(x, p, taps, *, is_mean):
    n_bins = math.prod(p.outsize)
    y = np.empty((x.shape[1] // n_bins, n_bins, len(p.rois)), x.dtype)
    _run_bins(numba_ps.forward, x, p, taps, y, is_mean=is_mean)
    return _transposed(y.reshape(x.shape[1], len(p.rois))).reshape(len(p.rois), len(y), *p.outsize)


def _ps_backward(gy, p, x_shape, taps, *, is_mean):
    gx, n_bins = np.empty(x_shape, gy.dtype), math.prod(p.outsize)
    turned = _transposed(gy.reshape(len(p.rois), x_shape[1])).reshape(x_shape[1] // n_bins, n_bins, len(p.rois))
    _run_bins(numba_ps.backward, gx, p, taps, turned, is_mean=is_mean)
    return gx


def align_forward(xs: list[Array], levels: list[geometry.Level]) -> Array:
    """Run roi_align.

    Args:
        xs (list of array): float32 or float64, (B, C, H_l, W_l), C-contiguous.
        levels (list of geometry.Level): The RoIs of each, in the dtype of ``xs``.

    Returns:
        array: (R', C, outh, outw), R' of all levels.
    """
    n_rois = sum(len(level.places) for level in levels)
    y = np.empty((n_rois, xs[0].shape[1], *levels[0].p.outsize), xs[0].dtype)
    for x, level in zip(xs, levels, strict=True):
        _run_align(numba_align.align_forward, x, level, y, chunked=True)
    return y


def align_backward(gy: Array, levels: list[geometry.Level], x_shapes: list[tuple]) -> list[Array]:
    """Run the transpose of ``align_forward``: (R', C, outh, outw) to ``x_shapes``."""
    gxs = [np.empty(shape, gy.dtype) for shape in x_shapes]
    for gx, level in zip(gxs, levels, strict=True):
        _run_align(numba_align.align_backward, gx, level, gy, chunked=False)
    return gxs


def ps_align_forward(x: Array, p: geometry.RoIs) -> Array:
    """Run ps_roi_align.

    Args:
        x (array): float32 or float64, (B, C * outh * outw, H, W), C-contiguous.
        p (geometry.RoIs): The RoIs, in the dtype of ``x``.

    Returns:
        array: (R', C, outh, outw).
    """
    taps = sample_taps(geometry.sample_grid(p), p.outsize, x.shape[2:])
    return _ps_forward(x, p, taps, is_mean=False)


def ps_align_backward(gy: Array, p: geometry.RoIs, x_shape: tuple) -> Array:
    """Run the transpose of ``ps_align_forward``."""
    taps = sample_taps(geometry.sample_grid(p), p.outsize, x_shape[2:])
    return _ps_backward(gy, p, x_shape, taps, is_mean=False)


def ps_pool_forward(x: Array, p: geometry.RoIs) -> Array:
    """Run ps_roi_pool: shapes as ``ps_align_forward``."""
    taps = pixel_taps(geometry.pixel_windows(p, x.shape[2:], inclusive=False), x.dtype)
    return _ps_forward(x, p, taps, is_mean=True)


def ps_pool_backward(gy: Array, p: geometry.RoIs, x_shape: tuple) -> Array:
    """Run the transpose of ``ps_pool_forward``."""
    taps = pixel_taps(geometry.pixel_windows(p, x_shape[2:], inclusive=False), gy.dtype)
    return _ps_backward(gy, p, x_shape, taps, is_mean=True)


def max_forward(x: Array, windows: geometry.Windows, roi_indices: Array, lowest: float) -> tuple[Array, Array]:
    """Take the maximum of each window.

    Args:
        x (array): float32 or float64, (B, C, H, W), C-contiguous.
        windows (geometry.Windows): The bins of each RoI.
        roi_indices (array): int32, (R',).
        lowest (float): What a value must exceed to be found; the maximum where none does.

    Returns:
        tuple: Maxima (R', C, outh, outw), 0 for an empty window; and int32 pixels of the plane, -1 for none, or an
        array of size 0 where no gradient will be asked for.
    """
    shape = (len(roi_indices), x.shape[1], windows.rows.shape[1], windows.columns.shape[1])
    y = np.empty(shape, x.dtype)
    argmax = np.empty(shape if chainer.config.enable_backprop else (0,) * 4, np.int32)
    bound, lowest = partial(_pixel_window, windows), x.dtype.type(lowest)
    places = _flat(argmax) if chainer.config.enable_backprop else None
    n_bins = math.prod(shape[2:])
    _run_blocks(numba_max.forward, x, roi_indices, bound, n_bins, windows, lowest, _flat(y), places, chunked=True)
    return y, argmax


def scatter(gy: Array, argmax: Array, roi_indices: Array, x_shape: tuple) -> Array:
    """Add each gradient to the pixel its maximum came from.

    Args:
        gy (array): float32 or float64, (R', C, outh, outw), C-contiguous.
        argmax (array): int32, like ``gy``, pixel of the plane; -1 passes nothing.
        roi_indices (array): int32, (R',).
        x_shape (tuple): (B, C, H, W).

    Returns:
        array: ``x_shape``.
    """
    gx = np.empty(x_shape, gy.dtype)
    arrays, n_channels = (_flat(gy), _flat(argmax), roi_indices), x_shape[1]
    threads.run(numba_max.scatter, [(*arrays, c, min(c + 4, n_channels), _flat(gx)) for c in range(0, n_channels, 4)])
    return gx
