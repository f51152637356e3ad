"""The RoI ops on NumPy arrays of any float dtype and layout, by Numba where it is installed, by plain NumPy otherwise.

float16 is computed in float32.
"""

import functools
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import compute_dtype, for_compiled, freed_pages, geometry, round_down
from chainfpn.functions.kernels.iou_match import BACKGROUND, IGNORED, match_dtype


@functools.cache
def engine() -> ModuleType:
    """Import the engine: on the first call only, so that importing chainfpn stays light.

    Returns:
        module: ``numba_engine``, or ``numpy_engine`` after one warning.
    """
    try:
        import numba  # noqa: F401
    except ImportError as error:
        warnings.warn(
            f"chainfpn: without Numba ({error}) RoI ops and NMS run on NumPy, slower; pip install 'chainfpn[cpu]'",
            RuntimeWarning,
            stacklevel=2,
        )
        from chainfpn.functions.kernels import numpy_engine

        return numpy_engine
    freed_pages.keep()
    from chainfpn.functions.kernels import numba_engine

    return numba_engine


def _prepare(x: Array) -> Array:
    return for_compiled(x, compute_dtype(x.dtype))


def _linear(name: str) -> Callable[..., Array]:
    """Return the engine's op of that name, for a first argument of any float dtype, which is the result's, too."""

    def run(x, *args):
        return getattr(engine(), name)(_prepare(x), *args).astype(x.dtype, copy=False)

    return run


#: ps_roi_align and ps_roi_pool: (B, C * outh * outw, H, W) and ``geometry.RoIs`` to (R', C, outh, outw).
ps_align_forward, ps_align_backward = _linear("ps_align_forward"), _linear("ps_align_backward")
ps_pool_forward, ps_pool_backward = _linear("ps_pool_forward"), _linear("ps_pool_backward")
#: The backward of both maxima: add each gradient to the pixel its maximum came from.
scatter = _linear("scatter")


def align_forward(x: Array, p: geometry.RoIs) -> Array:
    """Run roi_align: (B, C, H, W) to (R', C, outh, outw)."""
    return _align_forward([x], [geometry.Level(np.arange(len(p.rois)), p)])


def align_backward(gy: Array, p: geometry.RoIs, x_shape: tuple) -> Array:
    """Run the transpose of ``align_forward``."""
    return _align_backward(gy, [geometry.Level(np.arange(len(p.rois)), p)], [x_shape])[0]


def pyramid_align_forward(xs: list[Array], p: geometry.RoIs, pyramid: geometry.Pyramid) -> Array:
    """Run multi_scale_roi_align: roi_align of each RoI on its level.

    Args:
        xs (list of array): (B, C, H_l, W_l).
        p (geometry.RoIs): The RoIs; their scale is not used.
        pyramid (geometry.Pyramid): The levels.

    Returns:
        array: (R', C, outh, outw).
    """
    return _align_forward(xs, _by_level(p, pyramid))


def pyramid_align_backward(gy: Array, p: geometry.RoIs, pyramid: geometry.Pyramid, shapes: list) -> list[Array]:
    """Run the transpose of ``pyramid_align_forward``; ``shapes`` are those of its maps, and of the results."""
    return _align_backward(gy, _by_level(p, pyramid), shapes)


def _align_forward(xs, levels):
    return engine().align_forward([_prepare(x) for x in xs], levels).astype(xs[0].dtype, copy=False)


def _align_backward(gy, levels, shapes):
    return [gx.astype(gy.dtype, copy=False) for gx in engine().align_backward(_prepare(gy), levels, shapes)]


def _by_level(p, pyramid):
    """List which RoIs each level pools, and how."""
    levels = geometry.assign_levels(p.rois, pyramid)
    places = [np.flatnonzero(levels == level) for level in range(len(pyramid.scales))]
    return [
        geometry.Level(here, p._replace(rois=p.rois[here], roi_indices=p.roi_indices[here], spatial_scale=scale))
        for here, scale in zip(places, pyramid.scales, strict=True)
    ]


def pool_forward(x: Array, p: geometry.RoIs) -> tuple[Array, Array]:
    """Run roi_pool.

    Args:
        x (array): (B, C, H, W).
        p (geometry.RoIs): The RoIs.

    Returns:
        tuple: Maxima (R', C, outh, outw), and int32 pixels of the plane, -1 for none.
    """
    windows = geometry.pixel_windows(p, x.shape[2:], inclusive=True)
    return _max(x, windows, p.roi_indices, float(np.finfo(x.dtype).min))


def adaptive_max_forward(x: Array, outsize: Size) -> tuple[Array, Array]:
    """Take the maximum over a grid of windows of the whole map: as ``pool_forward``, one RoI per image."""
    windows = geometry.adaptive_windows(len(x), outsize, x.shape[2:])
    return _max(x, windows, np.arange(len(x), dtype=np.int32), -np.inf)


def _max(x, windows, roi_indices, lowest):
    y, argmax = engine().max_forward(_prepare(x), windows, roi_indices, lowest)
    return y.astype(x.dtype, copy=False), argmax


def suppress(boxes: Array, score: Array | None, label: Array | None, thresh: float, limit: int) -> Array:
    """Find the boxes that no better kept box of their label overlaps by more than ``thresh``.

    Args:
        boxes (array): float, (R, 4), yxyx, R > 0.
        score (array or None): (R,), equal ones in order; None takes the boxes as sorted, best first.
        label (array or None): integers, (R,); None is one label for all.
        thresh (float): The largest IoU allowed.
        limit (int): Boxes to keep at most, of the labels in rising order.

    Returns:
        array: int64, indices of the boxes kept, best first.
    """
    n = len(boxes)
    boxes, label = _prepare(boxes), np.zeros(n, np.int64) if label is None else label.astype(np.int64)
    best_first = np.arange(n) if score is None else (n - 1 - np.argsort(score[::-1], kind="stable"))[::-1]
    by_label = np.argsort(label[best_first], kind="stable")  # each label's boxes together, best first
    order = best_first[by_label]
    kept = engine().nms(boxes[order], label[order], round_down(thresh, boxes.dtype), limit)
    return best_first[np.sort(by_label[kept])]


def match(boxes: Array, gt_boxes: Array, fg_iou_thresh: float, bg_iou_thresh: float, low_quality: bool) -> Array:
    """Match each box with the ground truth box of highest IoU, the first of equals: see :func:`~chainfpn.boxes.match`.

    Args:
        boxes (array): float, (N, 4), yxyx, N > 0.
        gt_boxes (array): float, (R, 4), yxyx, none empty, R > 0.
        fg_iou_thresh (float): Smallest IoU of a positive.
        bg_iou_thresh (float): IoU below which a box is background.
        low_quality (bool): Whether also those boxes are positive that have the highest IoU of all with some
            ground truth box.

    Returns:
        array: int64, (N,), the index of the ground truth box, or ``BACKGROUND``, or ``IGNORED``.
    """
    dtype = match_dtype(boxes, gt_boxes)
    boxes, gt_boxes = (for_compiled(a.T, dtype) for a in (boxes, gt_boxes))
    best, iou, is_low_quality = engine().match(boxes, gt_boxes, low_quality)
    matched = np.where(iou < bg_iou_thresh, BACKGROUND, np.where(iou < fg_iou_thresh, IGNORED, best))
    return np.where(is_low_quality, best, matched) if low_quality else matched
