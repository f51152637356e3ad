"""Non-maximum suppression for the CPU, compiled by Numba."""

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels.numba_common import ZERO, exact, inner_exact, larger, smaller

#: Kept boxes compared at once: long enough for SIMD, short enough to stop early.
CHUNK = 128


@inner_exact
def overlaps(kept, begin, end, bb, area, thresh):
    """Return whether one of the kept boxes ``[begin, end)`` has an IoU with a box that is above ``thresh``.

    Args:
        kept (array): float32 or float64, (5, at least end): top, left, bottom, right, area.
        begin, end (int): Which of them.
        bb (array): Likewise, (4,).
        area (float): Of ``bb``.
        thresh (float): In the dtype of ``kept``.

    Returns:
        bool: Whether.
    """
    t, l, b, r = bb[0], bb[1], bb[2], bb[3]  # noqa: E741
    zero = kept.dtype.type(0)
    for start in range(begin, end, CHUNK):
        hits = 0
        for q in range(np.uint64(start), np.uint64(smaller(start + CHUNK, end))):
            height = larger(smaller(kept[2, q], b) - larger(kept[0, q], t), zero)
            width = larger(smaller(kept[3, q], r) - larger(kept[1, q], l), zero)
            shared = width * height
            hits += shared / (kept[4, q] + area - shared) > thresh
        if hits > 0:
            return True
    return False


@inner_exact
def put(kept, at, bb, area):
    """Write a box and its area to column ``at`` of ``kept``; see :func:`overlaps`."""
    for side in range(4):
        kept[side, at] = bb[side]
    kept[4, at] = area


def nms(boxes: Array, label: Array, thresh: float, limit: int) -> Array:
    """Keep each box that no earlier kept box of its label overlaps by more than ``thresh``.

    Args:
        boxes (array): float32 or float64, (R, 4), yxyx, in groups of one label, best first in each.
        label (array): int64, (R,).
        thresh (float): In the dtype of ``boxes``.
        limit (int): Boxes to keep at most.

    Returns:
        array: bool, (R,).
    """
    keep = np.zeros(len(boxes), bool)
    _nms(boxes, label, thresh, limit, np.empty((5, len(boxes)), boxes.dtype), keep)
    return keep


@exact
def _nms(boxes, label, thresh, limit, kept, keep):
    n_group, n_kept = ZERO, ZERO
    for k in range(len(boxes)):
        if n_kept == limit:
            break
        if k > 0 and label[k] != label[k - 1]:
            n_group = ZERO
        bb = boxes[k]
        area = (bb[3] - bb[1]) * (bb[2] - bb[0])
        if not overlaps(kept, ZERO, n_group, bb, area, thresh):
            put(kept, n_group, bb, area)
            n_group += 1
            n_kept += 1
            keep[k] = True
