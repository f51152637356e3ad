"""The RoI ops on the CPU without Numba: one small matrix product (or a maximum over slices) per RoI, nothing per bin.

Same interface and results as ``numba_engine``; a NaN or infinity in the map under a RoI may reach all its bins.
"""

from functools import partial

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import geometry
from chainfpn.functions.kernels.iou_match import match

__all__ = ["match"]


def _axis_matrix(start, size, n, n_bins, extent):
    """(n_bins, extent) weights of one axis of a RoI: the mean of n bilinear samples."""
    dtype = start.dtype
    matrix = np.zeros((n_bins, extent), dtype)
    bins, i = np.arange(n_bins, dtype=dtype)[:, None], np.arange(n, dtype=dtype)
    at = (start + bins * size) + (i + dtype.type(0.5)) * size / dtype.type(max(n, 1))  # (n_bins, n)
    b, q = np.nonzero((at >= -1) & (at <= extent))
    at = np.maximum(at[b, q], 0)
    low = np.minimum(at.astype(np.int64), extent - 1)
    upper = np.where(low < extent - 1, at - low, 0).astype(dtype)
    high = np.minimum(low + 1, extent - 1)
    np.add.at(matrix, (b, low), 1 - upper)
    np.add.at(matrix, (b, high), upper)
    return matrix / dtype.type(max(n, 1))


def _sample_matrices(p, map_shape):
    """Yield (RoI, rows, columns, matrix over rows, matrix over columns), each cut to the pixels that have weight."""
    grid = geometry.sample_grid(p)
    for r in np.flatnonzero((grid.n > 0).all(axis=1)):
        matrices, parts = [], []
        for axis in zip(grid.start[r], grid.size[r], grid.n[r], p.outsize, map_shape, strict=True):
            matrix = _axis_matrix(*axis)
            used = np.flatnonzero(matrix.any(axis=0))
            part = slice(used[0], used[-1] + 1) if used.size else slice(0, 0)
            matrices.append(matrix[:, part])
            parts.append(part)
        yield r, *parts, *matrices


def _mean_matrices(p, map_shape):
    """Yield what ``_sample_matrices`` does, for the mean of each window of ps_roi_pool."""
    for r, windows in enumerate(zip(*geometry.pixel_windows(p, map_shape, inclusive=False), strict=True)):
        matrices, parts = [], []
        for bounds, extent in zip(windows, map_shape, strict=True):
            part = slice(bounds.min(), max(bounds.max(), bounds.min()))
            at = np.arange(extent)[part]
            matrix = ((at >= bounds[:, :1]) & (at < bounds[:, 1:])) / np.maximum(bounds[:, 1:] - bounds[:, :1], 1)
            matrices.append(matrix.astype(p.rois.dtype))
            parts.append(part)
        yield r, *parts, *matrices


def _ps_shape(x_shape, outsize):
    """Split the channel axis: (C_out, outh, outw, H, W)."""
    return (x_shape[1] // (outsize[0] * outsize[1]), *outsize, *x_shape[2:])


def _ps_forward(x, p, matrices):
    shape = _ps_shape(x.shape, p.outsize)
    y = np.zeros((len(p.rois), *shape[:3]), x.dtype)
    for r, rows, columns, over_rows, over_columns in matrices(p, x.shape[2:]):
        part = x[p.roi_indices[r]].reshape(shape)[..., rows, columns]  # (C_out, outh, outw, h, w)
        part = np.matmul(part, over_columns[None, None, :, :, None])[..., 0]  # (C_out, outh, outw, h)
        y[r] = (part * over_rows[None, :, None]).sum(axis=3)
    return y


def _ps_backward(gy, p, x_shape, matrices):
    gx = np.zeros(x_shape, gy.dtype)
    shape = _ps_shape(x_shape, p.outsize)
    for r, rows, columns, over_rows, over_columns in matrices(p, x_shape[2:]):
        weights = over_rows[:, None, :, None] * over_columns[None, :, None, :]  # (outh, outw, h, w)
        gx[p.roi_indices[r]].reshape(shape)[..., rows, columns] += gy[r][..., None, None] * weights
    return gx


def align_forward(xs: list[Array], levels: list[geometry.Level]) -> Array:
    """Run roi_align: see ``numba_engine.align_forward``."""
    n_rois = sum(len(level.places) for level in levels)
    y = np.zeros((n_rois, xs[0].shape[1], *levels[0].p.outsize), xs[0].dtype)
    for x, (places, p) in zip(xs, levels, strict=True):
        for r, rows, columns, over_rows, over_columns in _sample_matrices(p, x.shape[2:]):
            part = x[p.roi_indices[r], :, rows, columns]  # (C, h, w)
            y[places[r]] = over_rows @ (part @ over_columns.T)
    return y


def align_backward(gy: Array, levels: list[geometry.Level], x_shapes: list[tuple]) -> list[Array]:
    """Run the transpose of ``align_forward``."""
    gxs = [np.zeros(shape, gy.dtype) for shape in x_shapes]
    for gx, (places, p) in zip(gxs, levels, strict=True):
        for r, rows, columns, over_rows, over_columns in _sample_matrices(p, gx.shape[2:]):
            gx[p.roi_indices[r], :, rows, columns] += over_rows.T @ (gy[places[r]] @ over_columns)
    return gxs


#: ps_roi_align and ps_roi_pool: see ``numba_engine``.
ps_align_forward = partial(_ps_forward, matrices=_sample_matrices)
ps_align_backward = partial(_ps_backward, matrices=_sample_matrices)
ps_pool_forward = partial(_ps_forward, matrices=_mean_matrices)
ps_pool_backward = partial(_ps_backward, matrices=_mean_matrices)


def max_forward(x: Array, windows: geometry.Windows, roi_indices: Array, lowest: float) -> tuple[Array, Array]:
    """Take the maximum of each window: see ``numba_engine.max_forward``."""
    n_rois, outh, outw = len(roi_indices), windows.rows.shape[1], windows.columns.shape[1]
    width = x.shape[3]
    y = np.zeros((n_rois, x.shape[1], outh, outw), x.dtype)
    argmax = np.full(y.shape, -1, np.int32)
    for r in range(n_rois):
        rows, columns = windows.rows[r], windows.columns[r]
        n_h, n_w = np.ptp(rows, axis=1).max(initial=0), np.ptp(columns, axis=1).max(initial=0)
        used = (rows[:, 1] > rows[:, 0])[:, None] & (columns[:, 1] > columns[:, 0])
        if not used.any():
            continue
        at_h, at_w = rows[:, :1] + np.arange(n_h), columns[:, :1] + np.arange(n_w)  # (outh, n_h), (outw, n_w)
        inside = (at_h < rows[:, 1:])[:, None, :, None] & (at_w < columns[:, 1:])[None, :, None, :]
        at_h, at_w = np.minimum(at_h, x.shape[2] - 1), np.minimum(at_w, width - 1)
        place = at_h[:, None, :, None] * width + at_w[None, :, None, :]  # (outh, outw, n_h, n_w)
        values = x[roi_indices[r]].reshape(x.shape[1], -1)[:, place]  # (C, outh, outw, n_h, n_w)
        values = np.where(inside & (values > lowest), values, lowest).reshape(*values.shape[:3], -1)
        first = values.argmax(axis=3)
        best = np.take_along_axis(values, first[..., None], axis=3)[..., 0]
        place = np.take_along_axis(np.broadcast_to(place.reshape(1, outh, outw, -1), values.shape), first[..., None], 3)
        y[r] = np.where(used, best, 0)
        argmax[r] = np.where(used & (best > lowest), place[..., 0], -1)
    return y, argmax


def scatter(gy: Array, argmax: Array, roi_indices: Array, x_shape: tuple) -> Array:
    """Add each gradient to the pixel its maximum came from: see ``numba_engine.scatter``."""
    n_images, n_channels, height, width = x_shape
    planes = roi_indices[:, None].astype(np.int64) * n_channels + np.arange(n_channels)  # (R', C)
    place = planes[:, :, None, None] * (height * width) + argmax
    found = argmax >= 0
    gx = np.zeros(n_images * n_channels * height * width, gy.dtype)
    np.add.at(gx, place[found], gy[found])
    return gx.reshape(x_shape)


def nms(boxes: Array, label: Array, thresh: np.floating, limit: int) -> Array:
    """Keep each box that no earlier kept box of its label overlaps: see ``numba_nms.nms``."""
    keep = np.zeros(len(boxes), bool)
    left = np.arange(len(boxes))
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for _ in range(limit):
        if not left.size:
            break
        best, left = left[0], left[1:]
        keep[best] = True
        sides = np.minimum(boxes[best, 2:], boxes[left, 2:]) - np.maximum(boxes[best, :2], boxes[left, :2])
        shared = np.maximum(sides, 0).prod(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            overlap = shared / (area[best] + area[left] - shared)
        left = left[~((overlap > thresh) & (label[left] == label[best]))]
    return keep
