"""Matching of boxes with objects for the CPU, compiled by Numba: no matrix of overlaps is ever made."""

import numpy as np

from chainfpn.functions.kernels.numba_common import exact

#: Boxes handled at once: few enough that their best overlaps stay in the cache while the objects go by.
TILE = 1024


@exact
def match(boxes, objects, low_quality):
    """Find the object that each box overlaps most.

    Args:
        boxes (array): float32 or float64, (4, N), contiguous: top, left, bottom, right.
        objects (array): Likewise, (4, R), R > 0.
        low_quality (bool): Whether the third result is wanted.

    Returns:
        tuple of array: The object, int64, (N,), the first of equals; the IoU, (N,); and which boxes no other overlaps
        some object more than, bool, (N,), all False if not wanted.
    """
    n, n_object = boxes.shape[1], objects.shape[1]
    n_tile = (n + TILE - 1) // TILE
    best, most = np.zeros(n, np.int64), np.empty(n, boxes.dtype)
    chosen = np.zeros(n, np.bool_)
    highest = np.empty((n_object, n_tile), boxes.dtype)
    area, overlap = np.empty(TILE, boxes.dtype), np.empty(TILE, boxes.dtype)
    index = np.empty(TILE, np.int32)
    for tile in range(n_tile):
        start = tile * TILE
        stop = min(start + TILE, n)
        here = boxes[:, start:stop]
        value = most[start:stop]
        _areas(here, area)
        _overlaps(here, area, objects[:, 0], value)
        index[: stop - start] = 0
        highest[0, tile] = _largest(value)
        for k in range(1, n_object):
            row = overlap[: stop - start]
            _overlaps(here, area, objects[:, k], row)
            highest[k, tile] = _largest(row)
            for i in range(stop - start):
                better = row[i] > value[i]
                value[i] = row[i] if better else value[i]
                index[i] = k if better else index[i]
        for i in range(stop - start):
            best[start + i] = index[i]
    if low_quality:
        for k in range(n_object):
            peak = _largest(highest[k])
            for tile in range(n_tile):
                if highest[k, tile] == peak:
                    start = tile * TILE
                    stop = min(start + TILE, n)
                    row = overlap[: stop - start]
                    _areas(boxes[:, start:stop], area)
                    _overlaps(boxes[:, start:stop], area, objects[:, k], row)
                    for i in range(stop - start):
                        chosen[start + i] |= row[i] == peak
    return best, most, chosen


@exact
def _areas(boxes, area):
    """Compute the areas of a tile of boxes."""
    top, left, bottom, right = boxes[0], boxes[1], boxes[2], boxes[3]
    for i in range(top.size):
        area[i] = (right[i] - left[i]) * (bottom[i] - top[i])


@exact
def _overlaps(boxes, area, thing, out):
    """Compute the IoU of a tile of boxes with one object."""
    top, left, bottom, right = boxes[0], boxes[1], boxes[2], boxes[3]
    t, l, b, r = thing[0], thing[1], thing[2], thing[3]  # noqa: E741
    size = (r - l) * (b - t)
    zero = thing.dtype.type(0)
    for i in range(out.size):
        height = max(min(bottom[i], b) - max(top[i], t), zero)
        width = max(min(right[i], r) - max(left[i], l), zero)
        shared = width * height
        out[i] = shared / (size + area[i] - shared)


@exact
def _largest(values):
    """Find the largest number."""
    largest = values[0]
    for i in range(1, values.size):
        largest = max(largest, values[i])
    return largest
