"""The RoI ops on the CPU, compiled: what ``kernels.cpu`` hands out where Numba is installed.

Work is cut into tasks that write to disjoint memory (image x block of channels x chunk of RoIs, or image x row of
bins), which threads take in turn; the kernels release the GIL. The result does not depend on the number of threads.
"""

import numpy as np

from chainfpn.functions.kernels import geometry, numba_align, numba_ps_align, numba_windows
from chainfpn.functions.kernels.numba_common import LANES
from chainfpn.functions.kernels.numba_match import match
from chainfpn.functions.kernels.numba_nms import suppress
from chainfpn.functions.kernels.threads import n_threads, run

__all__ = ["match", "suppress"]


def _flat(a):
    """Merge the last two axes, without copying."""
    return a.reshape(*a.shape[:2], a.shape[2] * a.shape[3])


def _members(roi_indices, n_images):
    """List the RoIs of each image, in order."""
    order = np.argsort(roi_indices, kind="stable")
    return np.split(order, np.searchsorted(roi_indices[order], np.arange(1, n_images)))[:n_images]


def _sample_window(grid, members, outsize, map_shape):
    """Bound the pixels that the samples of ``members`` read: y0, y1, x0, x1."""
    members = members[(grid.count[members] > 0).all(axis=1)]
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


def _run_blocks(kernel, roi_indices, x_shape, bound, chunked):
    """Call ``kernel(image, first channel, window, members)`` for all images and blocks of channels.

    With ``chunked``, the RoIs of an image are cut where threads would idle otherwise.
    """
    n_images, n_channels = x_shape[:2]
    firsts = range(0, n_channels, LANES)
    n_chunks = -(-n_threads() // max(n_images * len(firsts), 1)) if chunked else 1
    tasks = []
    for image, members in enumerate(_members(roi_indices, n_images)):
        for part in np.array_split(members, n_chunks):
            if part.size or not chunked:
                window = bound(part)
                tasks += [(image, first, window, part) for first in firsts]
    run(kernel, tasks)


def _run_bin_rows(kernel, roi_indices, n_images, n_rows):
    """Call ``kernel(image, row of bins, members)`` for all images."""
    by_image = enumerate(_members(roi_indices, n_images))
    run(kernel, [(image, i, members) for image, members in by_image for i in range(n_rows)])


def align_forward(x, p):
    """Run roi_align.

    Args:
        x (array): float32 or float64, (B, C, H, W), C-contiguous.
        p (geometry.RoIs): The RoIs, in the dtype of ``x``.

    Returns:
        array: (R', C, outh, outw).
    """
    grid = geometry.sample_grid(p)
    y = np.empty((len(p.rois), x.shape[1], *p.outsize), x.dtype)
    bins = _flat(y)

    def pool(image, first, window, members):
        numba_align.align_forward(x[image], first, window, members, grid.start, grid.size, grid.count, p.outsize, bins)

    _run_blocks(pool, p.roi_indices, x.shape, lambda part: _sample_window(grid, part, p.outsize, x.shape[2:]), True)
    return y


def align_backward(gy, p, x_shape):
    """Run the transpose of ``align_forward``: (R', C, outh, outw) to ``x_shape``."""
    grid = geometry.sample_grid(p)
    gx = np.empty(x_shape, gy.dtype)
    bins = _flat(gy)

    def spread(image, first, window, members):
        numba_align.align_backward(
            bins, first, window, members, grid.start, grid.size, grid.count, p.outsize, gx[image]
        )

    _run_blocks(spread, p.roi_indices, x_shape, lambda part: _sample_window(grid, part, p.outsize, x_shape[2:]), False)
    return gx


def ps_align_forward(x, p):
    """Run ps_roi_align: as ``align_forward``, but (R', C / (outh * outw), outh, outw)."""
    grid = geometry.sample_grid(p)
    outh, outw = p.outsize
    y = np.empty((len(p.rois), x.shape[1] // (outh * outw), outh, outw), x.dtype)

    def pool(image, i, members):
        numba_ps_align.ps_align_forward(x[image], i, members, grid.start, grid.size, grid.count, y)

    _run_bin_rows(pool, p.roi_indices, len(x), outh)
    return y


def ps_align_backward(gy, p, x_shape):
    """Run the transpose of ``ps_align_forward``."""
    grid = geometry.sample_grid(p)
    gx = np.zeros(x_shape, gy.dtype)

    def spread(image, i, members):
        numba_ps_align.ps_align_backward(gy, i, members, grid.start, grid.size, grid.count, gx[image])

    _run_bin_rows(spread, p.roi_indices, len(gx), p.outsize[0])
    return gx


def ps_mean_forward(x, windows, roi_indices):
    """Average each window from its own channel: (B, C, H, W) to (R', C / (outh * outw), outh, outw)."""
    outh, outw = windows.rows.shape[1], windows.columns.shape[1]
    y = np.empty((len(roi_indices), x.shape[1] // (outh * outw), outh, outw), x.dtype)

    def pool(image, i, members):
        numba_windows.ps_mean_forward(x[image], i, members, windows.rows, windows.columns, y)

    _run_bin_rows(pool, roi_indices, len(x), outh)
    return y


def ps_mean_backward(gy, windows, roi_indices, x_shape):
    """Run the transpose of ``ps_mean_forward``."""
    gx = np.zeros(x_shape, gy.dtype)

    def spread(image, i, members):
        numba_windows.ps_mean_backward(gy, i, members, windows.rows, windows.columns, gx[image])

    _run_bin_rows(spread, roi_indices, len(gx), windows.rows.shape[1])
    return gx


def max_forward(x, windows, roi_indices, lowest):
    """Take the maximum of each window.

    Args:
        x (array): float32 or float64, (B, C, H, W), C-contiguous.
        windows (geometry.Windows): The bins of each RoI.
        roi_indices (array): int32, (R',).
        lowest (float): What a value must exceed to be found; the maximum where none does.

    Returns:
        tuple: Maxima (R', C, outh, outw), 0 for an empty window; and int32 pixels of the plane, -1 for none.
    """
    shape = (len(roi_indices), x.shape[1], windows.rows.shape[1], windows.columns.shape[1])
    y, argmax = np.empty(shape, x.dtype), np.empty(shape, np.int32)
    bins, places = _flat(y), _flat(argmax)
    lowest = x.dtype.type(lowest)

    def pool(image, first, window, members):
        numba_windows.max_forward(x[image], first, window, members, windows.rows, windows.columns, lowest, bins, places)

    _run_blocks(pool, roi_indices, x.shape, lambda part: _pixel_window(windows, part), True)
    return y, argmax


def scatter(gy, argmax, roi_indices, x_shape):
    """Add each gradient to the pixel its maximum came from.

    Args:
        gy (array): float32 or float64, (R', C, outh, outw), C-contiguous.
        argmax (array): int32, like ``gy``, pixel of the plane; -1 passes nothing.
        roi_indices (array): int32, (R',).
        x_shape (tuple): (B, C, H, W).

    Returns:
        array: ``x_shape``.
    """
    gx = np.zeros(x_shape, gy.dtype)
    planes, gy, argmax = _flat(gx), _flat(gy), _flat(argmax)

    def spread(begin, end):
        numba_windows.scatter_channels(gy, argmax, roi_indices, begin, end, planes)

    run(spread, [(c, min(c + 4, x_shape[1])) for c in range(0, x_shape[1], 4)])
    return gx
