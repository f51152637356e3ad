"""Matching of boxes with ground truth by IoU for the CPU, compiled by Numba: no matrix of IoUs is ever made."""

import numpy as np

from chainfpn.functions.kernels.numba_common import copy, exact

#: Boxes handled at once: few enough that their best IoUs stay in the cache while the ground truth goes by.
TILE = 1024


@exact
def match(boxes, gt_boxes, low_quality):
    """Find the ground-truth box of highest IoU for each box.

    Args:
        boxes (array): float32 or float64, (4, N), contiguous: top, left, bottom, right.
        gt_boxes (array): Likewise, (4, R), R > 0.
        low_quality (bool): Whether the third result is wanted.

    Returns:
        tuple of array: The index of the ground-truth box, int64, (N,), the first of equals; the IoU, (N,); and which
        boxes have the highest IoU of all with some ground-truth box, bool, (N,), all False if not wanted.
    """
    n, n_gt = boxes.shape[1], gt_boxes.shape[1]
    n_tile = (n + TILE - 1) // TILE
    best, most, chosen = np.zeros(n, np.int64), np.empty(n, boxes.dtype), np.zeros(n, np.bool_)
    area = (boxes[3] - boxes[1]) * (boxes[2] - boxes[0])
    highest = np.empty((n_gt, n_tile), boxes.dtype)
    ious, index = np.empty(TILE, boxes.dtype), np.empty(TILE, np.int32)
    for tile in range(n_tile):
        start, stop = tile * TILE, min((tile + 1) * TILE, n)
        value, iou = most[start:stop], ious[: stop - start]
        index[:] = 0
        highest[0, tile] = _compare(boxes[:, start:stop], area[start:stop], gt_boxes[:, 0], value)
        for k in range(1, n_gt):
            highest[k, tile] = _compare(boxes[:, start:stop], area[start:stop], gt_boxes[:, k], iou)
            for i in range(stop - start):
                better = iou[i] > value[i]
                value[i] = iou[i] if better else value[i]
                index[i] = k if better else index[i]
        copy(index, best[start:stop])
    for k in range(n_gt if low_quality else 0):
        peak = highest[k].max()
        for tile in range(n_tile):
            if highest[k, tile] == peak:
                start, stop = tile * TILE, min((tile + 1) * TILE, n)
                iou = ious[: stop - start]
                _compare(boxes[:, start:stop], area[start:stop], gt_boxes[:, k], iou)
                for i in range(stop - start):
                    chosen[start + i] |= iou[i] == peak
    return best, most, chosen


@exact
def _compare(boxes, areas, other, iou):
    """Compute the IoU of each box of a tile with one other box; return the highest."""
    top, left, bottom, right = boxes[0], boxes[1], boxes[2], boxes[3]
    t, l, b, r = other[0], other[1], other[2], other[3]  # noqa: E741
    area, zero = (r - l) * (b - t), other.dtype.type(0)
    for i in range(iou.size):
        height = max(min(bottom[i], b) - max(top[i], t), zero)
        width = max(min(right[i], r) - max(left[i], l), zero)
        shared = width * height
        iou[i] = shared / (area + areas[i] - shared)
    highest = iou[0]
    for i in range(1, iou.size):
        highest = max(highest, iou[i])
    return highest
