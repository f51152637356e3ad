"""Non-maximum suppression of many boxes for the CPU: a box meets only the kept ones of about its size and place.

The IoU of two boxes is at most that of their sides along either axis. So it is above t only if there the shorter side
is longer than t times the other, and the centres are less than (1 - t) / (1 + t) / 2 times the sum of the sides apart.
Sides are sorted into *classes* by length, and those of a class into *cells* by centre. A bucket holds the kept boxes of
a class and a cell of each axis, and of any others with the same hash: what overlaps is decided by the plain comparison.
"""

import itertools

import numpy as np

from chainfpn.functions.kernels.numba_common import ZERO, exact, inner_exact
from chainfpn.functions.kernels.numba_nms import nms as plain_nms
from chainfpn.functions.kernels.numba_nms import overlaps, put

#: Boxes of a label that are worth a grid.
MANY = 12_000

#: Classes of an axis at most; the last takes all that are longer.
N_CLASSES = 32

#: Sides further out than so many times the shortest have no exact cell, areas below the smallest no exact IoU.
FAR, SMALLEST = 1e12, 1e-30


def nms(boxes, label, thresh, limit):
    """Keep each box that no earlier kept box of its label overlaps by more than ``thresh``: see ``numba_nms.nms``."""
    if thresh >= 1:  # no IoU is larger
        return np.arange(len(boxes)) < limit
    bounds = [0, *(np.flatnonzero(np.diff(label)) + 1), len(boxes)] if len(boxes) >= MANY else [0]
    if np.diff(bounds).max(initial=0) < MANY or not thresh >= 0:
        return plain_nms(boxes, label, thresh, limit)
    keep = np.zeros(len(boxes), bool)
    for begin, end in itertools.pairwise(bounds):
        grid = _make_grid(boxes[begin:end], thresh) if end - begin >= MANY else None
        if grid is None:
            kept = plain_nms(boxes[begin:end], label[begin:end], thresh, limit)
        else:
            kept = _nms(boxes[begin:end], thresh, limit, *grid)
        keep[begin:end] = kept
        limit -= np.count_nonzero(kept)
    return keep


def _make_grid(boxes, thresh):
    """Sort boxes into buckets.

    Returns:
        tuple or None: int64 (R, 2), the class of each side; int64 (R,), the bucket of each box, -1 for those that
        overlap none: empty, reversed, infinite or no number; int64, the first place of each bucket; longest side and
        side of a cell for each class of each axis, (2, classes); and how far apart centres may be, and how much
        shorter sides. None where rounding could move a box to a wrong bucket.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        area = (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 2] - boxes[:, 0])
        low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
        ours = np.flatnonzero((high > low).all(axis=1) & (area > 0) & (area < np.inf))
    low, high = low[ours], high[ours]
    side, centre = high - low, low / 2 + high / 2
    shortest = side.min(axis=0, initial=np.inf)
    if (np.abs([low, high]).max(axis=(0, 1), initial=0) > FAR * shortest).any() or (area[ours] < SMALLEST).any():
        return None
    thresh = float(thresh) * (1 - 1e-5)  # sides and IoUs are rounded
    ratio, reach = min(max(1 / max(thresh, 1e-9), 1.2), 4), (1 - thresh) / (1 + thresh) / 2
    classes, bucket = np.zeros((len(boxes), 2), np.int64), np.full(len(boxes), -1)
    classes[ours] = np.minimum(np.log(side / shortest) / np.log(ratio), N_CLASSES - 1)
    tops = shortest[:, None] * ratio ** np.arange(1, classes.max() + 2) * (1 + 1e-9)
    tops[:, -1] = np.maximum(tops[:, -1], side.max(axis=0, initial=0))
    cells = tops * max(4 * reach, 0.05)
    row, column = np.floor(centre / cells[[0, 1], classes[ours]]).astype(np.int64).T
    n_buckets = 1 << (2 * len(boxes)).bit_length()
    bucket[ours] = _hash(*classes[ours].T, row, column, n_buckets)
    starts = np.cumsum(np.bincount(bucket[ours] + 1, minlength=n_buckets + 1))
    return classes, bucket, starts, tops, cells, reach, thresh


def _hash(row_class, column_class, row, column, n_buckets):
    """Hash int64 to [0, n_buckets), a power of two; neighbouring columns are neighbours."""
    key = ((row * N_CLASSES + row_class) * N_CLASSES + column_class) * -7046029254386353131
    return ((key ^ (key >> 29)) + column) & (n_buckets - 1)


_compiled_hash = inner_exact(_hash)


@exact
def _nms(boxes, thresh, limit, classes, bucket, starts, tops, cells, reach, shorter):
    """Keep each box that no earlier kept box overlaps by more than ``thresh``; see ``_make_grid``."""
    n, n_kept, n_listed = boxes.shape[0], 0, ZERO
    keep = np.zeros(n, np.bool_)
    kept, listed = np.empty((5, n), boxes.dtype), np.empty((5, n), boxes.dtype)  # by bucket, and one after the other
    ends, n_of_class = starts.copy(), np.zeros((tops.shape[1], tops.shape[1]), np.int64)
    ranges = np.empty((2, tops.shape[1], 2), np.int64)
    for k in range(n):
        if n_kept == limit:
            break
        if bucket[k] >= 0:
            bb, at = boxes[k], bucket[k]
            area = (bb[3] - bb[1]) * (bb[2] - bb[0])
            n_cells = 1.0
            for axis in range(2):
                n_cells *= _find_cells(bb[axis], bb[axis + 2], tops[axis], cells[axis], reach, shorter, ranges[axis])
            if 8 * n_cells > n_listed:
                overlapped = overlaps(listed, ZERO, n_listed, bb, area, thresh)
            else:
                overlapped = overlaps(kept, starts[at], ends[at], bb, area, thresh)
                overlapped = overlapped or _meets(kept, starts, ends, n_of_class, ranges, bb, area, thresh, at)
            if overlapped:
                continue
            put(kept, ends[at], bb, area)
            put(listed, n_listed, bb, area)
            ends[at] += 1
            n_listed += 1
            n_of_class[classes[k, 0], classes[k, 1]] += 1
        keep[k] = True
        n_kept += 1
    return keep


@inner_exact
def _find_cells(low, high, tops, cells, reach, shorter, ranges):
    """Fill in the cells of each class, first and last exclusive, in which sides can overlap; return how many."""
    low, high = np.float64(low), np.float64(high)
    side, centre, n_cells = high - low, low / 2 + high / 2, 0.0
    for k in range(tops.size):
        ranges[k] = 0
        if tops[k] >= shorter * side and (k == 0 or shorter * tops[k - 1] <= side):
            # a hundredth of a cell is more than what rounding moves
            begin = np.floor((centre - (side + tops[k]) * reach) / cells[k] - 0.01)
            end = np.floor((centre + (side + tops[k]) * reach) / cells[k] + 0.01) + 1
            n_cells += end - begin
            if n_cells < 1e6:
                ranges[k, 0], ranges[k, 1] = np.int64(begin), np.int64(end)
    return n_cells


@inner_exact
def _meets(kept, starts, ends, n_of_class, ranges, bb, area, thresh, own):
    """Return whether a kept box in one of these cells overlaps, of a bucket other than ``own``."""
    n_buckets = starts.size - 1
    for row_class in range(len(n_of_class)):
        if ranges[0, row_class, 1] == ranges[0, row_class, 0]:
            continue
        for column_class in range(len(n_of_class)):
            if n_of_class[row_class, column_class] == 0:
                continue
            left, right = ranges[1, column_class]
            for row in range(ranges[0, row_class, 0], ranges[0, row_class, 1]):
                for column in range(left, right):
                    at = _compiled_hash(row_class, column_class, row, column, n_buckets)
                    if at != own and ends[at] > starts[at] and overlaps(kept, starts[at], ends[at], bb, area, thresh):
                        return True
    return False
