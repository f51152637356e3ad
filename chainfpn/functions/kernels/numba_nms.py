"""Non-maximum suppression for the CPU, compiled by Numba."""

import numpy as np

from chainfpn.functions.kernels.numba_common import exact

#: Kept boxes compared at once: long enough for SIMD, short enough to stop early.
CHUNK = 128


@exact
def nms(boxes, label, thresh, limit):
    """Keep each box that no earlier kept box of its label overlaps by more than ``thresh``.

    Args:
        boxes (array): float32 or float64, (R, 4), yxyx, in groups of one label, best first in each.
        label (array): int64, (R,).
        thresh (float): In the dtype of ``boxes``.
        limit (int): Boxes to keep at most.

    Returns:
        array: bool, (R,).
    """
    n = boxes.shape[0]
    keep = np.zeros(n, np.bool_)
    top, left = np.empty(n, boxes.dtype), np.empty(n, boxes.dtype)
    bottom, right = np.empty(n, boxes.dtype), np.empty(n, boxes.dtype)
    area = np.empty(n, boxes.dtype)
    zero = boxes.dtype.type(0)
    n_group, n_kept = 0, 0
    for k in range(n):
        if n_kept == limit:
            break
        if k > 0 and label[k] != label[k - 1]:
            n_group = 0
        t, l, b, r = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]  # noqa: E741
        a = (r - l) * (b - t)
        overlapped = False
        for begin in range(0, n_group, CHUNK):
            end = min(begin + CHUNK, n_group)
            hits = 0
            tops, lefts, bottoms = top[begin:end], left[begin:end], bottom[begin:end]
            rights, areas = right[begin:end], area[begin:end]
            for q in range(end - begin):
                height = max(min(bottoms[q], b) - max(tops[q], t), zero)
                width = max(min(rights[q], r) - max(lefts[q], l), zero)
                shared = width * height
                hits += shared / (areas[q] + a - shared) > thresh
            if hits > 0:
                overlapped = True
                break
        if not overlapped:
            top[n_group], left[n_group], bottom[n_group], right[n_group], area[n_group] = t, l, b, r, a
            n_group += 1
            n_kept += 1
            keep[k] = True
    return keep
