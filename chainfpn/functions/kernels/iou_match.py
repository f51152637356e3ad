"""Matching of boxes with ground truth by whole arrays of IoUs, NumPy's or CuPy's."""

import numpy as np
from chainer import backend

from chainfpn._typing import Array

#: Instead of the index of a ground truth box: a negative, and a box between the two thresholds.
BACKGROUND, IGNORED = -1, -2

#: IoUs held at once: the ground truth is taken in blocks.
BLOCK = 2**22


def match_dtype(boxes: Array, gt_boxes: Array) -> np.dtype:
    """Return the dtype IoUs are computed in: float32, or float64 if either is."""
    return np.result_type(boxes.dtype, gt_boxes.dtype, np.float32)


def iou_matrix(boxes_a: Array, boxes_b: Array) -> Array:
    """Compute the IoU of all pairs: (4, N) and (4, K), of one float dtype, to (N, K)."""
    xp = backend.get_array_module(boxes_a)
    top_a, left_a, bottom_a, right_a = boxes_a[:, :, None]  # (N, 1)
    top_b, left_b, bottom_b, right_b = boxes_b  # (K,)
    shared = xp.minimum(right_a, right_b) - xp.maximum(left_a, left_b)  # (N, K)
    xp.maximum(shared, 0, out=shared)
    height = xp.minimum(bottom_a, bottom_b) - xp.maximum(top_a, top_b)
    shared *= xp.maximum(height, 0, out=height)
    union = (right_a - left_a) * (bottom_a - top_a) + (right_b - left_b) * (bottom_b - top_b)
    union -= shared
    with np.errstate(invalid="ignore"):
        return xp.divide(shared, union, out=shared)


def match(boxes: Array, gt_boxes: Array, low_quality: bool) -> tuple[Array, Array, Array]:
    """Find the ground truth box of highest IoU for each box: see ``numba_match.match``."""
    xp = backend.get_array_module(boxes)
    n = boxes.shape[1]
    best, most, chosen = xp.zeros(n, np.int64), xp.full(n, -1, boxes.dtype), xp.zeros(n, bool)
    step = max(BLOCK // max(n, 1), 1)
    for start in range(0, gt_boxes.shape[1], step):
        iou = iou_matrix(gt_boxes[:, start : start + step], boxes)  # (step, N)
        first = iou.argmax(axis=0)  # (N,)
        largest = xp.take_along_axis(iou, first[None], axis=0)[0]
        better = largest > most
        best, most = xp.where(better, first + start, best), xp.where(better, largest, most)
        if low_quality:
            chosen |= (iou == iou.max(axis=1, keepdims=True)).any(axis=0)
    return best, most, chosen
