"""Matching of boxes with ground truth by IoU for the CPU, compiled by Numba: no matrix of IoUs is ever made."""

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels.numba_common import exact, inner_exact, larger, smaller

#: Boxes handled at once: few enough that their best IoUs stay in the cache while the ground truth goes by.
TILE = 1024


def match(boxes: Array, gt_boxes: Array, low_quality: bool) -> tuple[Array, Array, Array]:
    """Find the ground truth box of highest IoU for each box.

    Args:
        boxes (array): float32 or float64, (4, N), contiguous: top, left, bottom, right.
        gt_boxes (array): Likewise, (4, R), R > 0.
        low_quality (bool): Whether the third result is wanted.

    Returns:
        tuple of array: The index of the ground truth box, int64, (N,), the first of equals; the IoU, (N,); and which
        boxes have the highest IoU of all with some ground truth box, bool, (N,), all False if not wanted.
    """
    n, dtype = boxes.shape[1], boxes.dtype
    best, most, chosen = np.zeros(n, np.int64), np.empty(n, dtype), np.zeros(n, bool)
    with np.errstate(over="ignore", invalid="ignore"):
        area = (boxes[3] - boxes[1]) * (boxes[2] - boxes[0])
    highest = np.empty((gt_boxes.shape[1], -(-n // TILE)), dtype)
    room = np.empty(TILE, dtype), np.empty(TILE, np.int32)
    others = np.ascontiguousarray(gt_boxes.T)  # (R, 4)
    _match(room, boxes, area, others, highest, best, most)
    if low_quality:
        _choose(room[0], boxes, area, others, highest, highest.max(axis=1, initial=-np.inf), chosen)
    return best, most, chosen


@exact
def _match(room, boxes, area, gt_boxes, highest, best, most):
    """Fill in the best ground truth box of each box, its IoU, and the highest IoU of a tile with each of them."""
    iou, index = room
    for tile in range(highest.shape[1]):
        start = tile * TILE
        n = smaller(best.size - start, TILE)
        value = most[start : start + n]
        for i in range(n):
            index[i] = 0
        highest[0, tile] = _compare(boxes, area, start, gt_boxes[0], value, n)
        for k in range(1, gt_boxes.shape[0]):
            highest[k, tile] = _compare(boxes, area, start, gt_boxes[k], iou, n)
            for i in range(n):
                better = iou[i] > value[i]
                value[i] = iou[i] if better else value[i]
                index[i] = k if better else index[i]
        for i in range(n):
            best[start + i] = index[i]


@exact
def _choose(iou, boxes, area, gt_boxes, highest, peaks, chosen):
    """Mark the boxes whose IoU with a ground truth box is the highest of all with it."""
    for k in range(peaks.size):
        for tile in range(highest.shape[1]):
            if highest[k, tile] == peaks[k]:
                start = tile * TILE
                n = smaller(chosen.size - start, TILE)
                _compare(boxes, area, start, gt_boxes[k], iou, n)
                for i in range(n):
                    chosen[start + i] |= iou[i] == peaks[k]


@inner_exact
def _compare(boxes, area, start, other, iou, n):
    """Compute the IoU of the n boxes from ``start`` on with one other box; return the highest."""
    t, l, b, r = other[0], other[1], other[2], other[3]  # noqa: E741
    own, zero, first = (r - l) * (b - t), other.dtype.type(0), np.uint64(start)
    for i in range(np.uint64(n)):
        height = larger(smaller(boxes[2, first + i], b) - larger(boxes[0, first + i], t), zero)
        width = larger(smaller(boxes[3, first + i], r) - larger(boxes[1, first + i], l), zero)
        shared = width * height
        iou[i] = shared / (own + area[first + i] - shared)
    highest = iou[0]
    for i in range(1, n):
        highest = larger(highest, iou[i])
    return highest
