"""Where the bins of a RoI lie on the feature map: one definition for both CPU engines.

Everything is computed in the precision of the kernels (float32, or float64 for float64 maps), in torchvision's order of
operations, so that a coordinate falls on the same side of a border here and there. What torchvision leaves undefined is
defined so: a coordinate beyond ``LIMIT`` feature pixels (infinities too) is moved to it, a RoI with a NaN has no
samples and only empty bins.
"""

import math
from typing import NamedTuple

import numpy as np
from chainer import backend

from chainfpn._typing import Array, Size

#: Feature pixels from the origin beyond which coordinates are clipped: far outside every map, safe in int32.
LIMIT = 2.0**20


class RoIs(NamedTuple):
    """The RoIs of a kernel, and how they are pooled.

    Attributes:
        rois (array): float32 or float64, (R', 4), yxyx, input-image pixels, C-contiguous.
        roi_indices (array): int32, (R',), the image of each RoI.
        outsize ((int, int)): Rows and columns of bins.
        spatial_scale (float): Feature pixels per image pixel.
        sampling_ratio (int): Samples per bin and axis; 0 takes as many as the bin has feature pixels.
        half_pixel (bool): Whether pixel centres lie at .5 (``aligned`` in torchvision).
        at_least_one (bool): Whether sides under one feature pixel are enlarged to it.
        learns (bool): Whether there will be a gradient; if not, a GPU does not write where maxima were.
    """

    rois: Array
    roi_indices: Array
    outsize: Size
    spatial_scale: float
    sampling_ratio: int = 0
    half_pixel: bool = False
    at_least_one: bool = False
    learns: bool = True


class LevelRule(NamedTuple):
    """Which level a RoI of area A belongs to: floor(canonical_level + log2(side + ratio_eps) + level_eps).

    Attributes:
        canonical_scale (float): side is sqrt(A) / canonical_scale: that of a RoI of ``canonical_level`` is 1.
        canonical_level (int): Its level; level l has scale 2**-l.
        ratio_eps (float): Keeps the logarithm of an empty RoI finite.
        level_eps (float): Keeps a RoI of exactly a level's size on that level.
    """

    canonical_scale: float = 224
    canonical_level: int = 4
    ratio_eps: float = 0.0
    level_eps: float = 1e-6


#: torchvision's.
LEVELS = LevelRule()


class Pyramid(NamedTuple):
    """The levels of a feature pyramid, and which of them a RoI belongs to, see ``assign_levels``.

    Attributes:
        scales (tuple of float): Feature pixels per image pixel of each level.
        rule (LevelRule): Where a RoI belongs.
    """

    scales: tuple[float, ...]
    rule: LevelRule = LEVELS


class Level(NamedTuple):
    """The RoIs that a map pools.

    Attributes:
        places (array): int64, which of all RoIs they are.
        p (RoIs): They, and how they are pooled.
    """

    places: Array
    p: RoIs


class SampleGrid(NamedTuple):
    """Sample ``i`` of bin ``b`` on an axis lies at ``start + b * size + (i + 0.5) * size / n``.

    Attributes:
        start (array): (R', 2), feature pixels, (y, x).
        size (array): (R', 2), extent of one bin, feature pixels; negative for a reversed RoI.
        n (array): int64, (R', 2), samples per bin; 0 for a RoI without samples.
    """

    start: Array
    size: Array
    n: Array


class Windows(NamedTuple):
    """Bin (i, j) of RoI r is ``x[rows[r, i, 0]:rows[r, i, 1], columns[r, j, 0]:columns[r, j, 1]]``.

    Attributes:
        rows (array): int64, (R', outh, 2), within the map; empty where the end is not above the start.
        columns (array): int64, (R', outw, 2).
    """

    rows: Array
    columns: Array


def assign_levels(rois: Array, pyramid: Pyramid) -> Array:
    """Assign each RoI to a level by its area.

    Args:
        rois (array): float32 or float64, (R', 4), yxyx.
        pyramid (Pyramid): The levels there are.

    Returns:
        array: int64, (R',), 0 for the first.
    """
    xp = backend.get_array_module(rois)
    first, last = (round(-math.log2(scale)) for scale in (pyramid.scales[0], pyramid.scales[-1]))
    with np.errstate(over="ignore", invalid="ignore"):
        area = (rois[:, 2] - rois[:, 0]) * (rois[:, 3] - rois[:, 1])
    area = xp.where(area > 0, area, xp.ones_like(area))
    canonical_scale, canonical_level, ratio_eps, level_eps = map(rois.dtype.type, pyramid.rule)
    level = xp.floor(canonical_level + xp.log2(xp.sqrt(area) / canonical_scale + ratio_eps) + level_eps)
    return xp.clip(level - first, 0, min(last - first, len(pyramid.scales) - 1)).astype(np.int64)


def _feature_coordinates(p, offset):
    with np.errstate(over="ignore"):
        scaled = p.rois * p.rois.dtype.type(p.spatial_scale) - p.rois.dtype.type(offset)
    return np.clip(scaled, -LIMIT, LIMIT), np.isnan(p.rois).any(axis=1)


def sample_grid(p: RoIs) -> SampleGrid:
    """Lay the samples of roi_align and ps_roi_align.

    Args:
        p (RoIs): The RoIs.

    Returns:
        SampleGrid: dtype of ``p.rois``.

    Source:
        torchvision 0.14 ``roi_align_kernel.cpp``, ``ps_roi_align_kernel.cpp``.
    """
    corners, is_nan = _feature_coordinates(p, 0.5 if p.half_pixel else 0.0)
    start = corners[:, :2]
    extent = corners[:, 2:] - start
    if p.at_least_one:
        extent = np.maximum(extent, extent.dtype.type(1))
    size = extent / np.array(p.outsize, extent.dtype)
    n = np.full(size.shape, p.sampling_ratio) if p.sampling_ratio > 0 else np.maximum(np.ceil(size), 0)
    start, size, n = (np.where(is_nan[:, None], 0, a) for a in (start, size, n))
    return SampleGrid(np.ascontiguousarray(start), np.ascontiguousarray(size), n.astype(np.int64))


def round_half_away(values: Array) -> Array:
    """Round as C does: halves away from zero, exactly.

    Args:
        values (array): Finite floats.

    Returns:
        array: Whole numbers, same dtype.
    """
    whole = np.trunc(values)
    return whole + np.where(np.abs(values - whole) >= 0.5, np.copysign(1, values), 0).astype(values.dtype)


def _axis_windows(start, extent, n_bins, limit, dtype):
    """(R', n_bins, 2) windows of bins that share ``extent`` pixels from ``start``, clipped to [0, limit]."""
    size = extent.astype(dtype) / dtype.type(n_bins)
    bins = np.arange(n_bins + 1, dtype=dtype)
    edges = size[:, None] * bins
    begin = np.floor(edges[:, :-1]).astype(np.int64) + start[:, None]
    end = np.ceil(edges[:, 1:]).astype(np.int64) + start[:, None]
    return np.clip(np.stack([begin, end], axis=2), 0, limit)


def pixel_windows(p: RoIs, map_shape: Size, *, inclusive: bool) -> Windows:
    """Cut each RoI into bins of whole pixels: corners are rounded, bins rounded outwards.

    Args:
        p (RoIs): The RoIs.
        map_shape ((int, int)): Height and width of the feature map.
        inclusive (bool): Whether a RoI includes its last pixel, as for roi_pool. For ps_roi_pool it does not, and
            torchvision clips the ends to the last pixel, exclusive: the last row and column of a map are never
            pooled.

    Returns:
        Windows: Within the map.

    Source:
        torchvision 0.14 ``roi_pool_kernel.cpp``, ``ps_roi_pool_kernel.cpp``.
    """
    corners, is_nan = _feature_coordinates(p, 0)
    corners = round_half_away(np.where(is_nan[:, None], 0, corners)).astype(np.int64)
    extent = np.maximum(corners[:, 2:] - corners[:, :2] + inclusive, 1)
    limits = [side if inclusive else side - 1 for side in map_shape]
    rows, columns = (
        _axis_windows(corners[:, axis], extent[:, axis], p.outsize[axis], limits[axis], p.rois.dtype) for axis in (0, 1)
    )
    rows[is_nan] = 0
    return Windows(rows, columns)


def adaptive_windows(n_images: int, outsize: Size, map_shape: Size) -> Windows:
    """Cut whole maps into a grid: bin i of n covers floor(i H / n) to ceil((i + 1) H / n).

    Args:
        n_images (int): Number of maps, one RoI each.
        outsize ((int, int)): Rows and columns of bins.
        map_shape ((int, int)): Height and width of the map.

    Returns:
        Windows: The same for all images; never empty.
    """

    def cut(n_bins, extent):
        bins = np.arange(n_bins)
        bounds = np.stack([bins * extent // n_bins, -(-(bins + 1) * extent // n_bins)], axis=1)
        return np.tile(bounds.astype(np.int64), (n_images, 1, 1))

    return Windows(*map(cut, outsize, map_shape))
