"""Maxima over windows of whole pixels for the CPU, compiled by Numba."""

import numpy as np

from chainfpn.functions.kernels.numba_common import ALL, LANES, ZERO, exact, inner_exact, pack, unpack_bins

#: Row of a column in which nothing was above the lowest float.
NOWHERE = 2**31 - 1


@exact
def forward(buffer, x, first, window, members, windows, lowest, y, argmax):
    """Take the maximum of each window for one image and one block of channels.

    The maximum over rows comes first, for every column of the RoI at once; ties keep the first pixel in row order.

    Args:
        buffer, x, first, window, members: See ``numba_align.align_forward``.
        windows (geometry.Windows): The bins of each RoI.
        lowest (float): What a value must exceed to be found; the maximum where none does.
        y (array): (R', C, outh * outw), receives the maxima; 0 for an empty window.
        argmax (array): int32, like ``y``, receives ``row * W + column``, -1 where nothing was found; of size 0 where
            nobody asks.
    """
    width = x.shape[2]
    rows, columns = windows
    outh, outw = rows.shape[1], columns.shape[1]
    y0, _, x0, x1 = window
    stride = (x1 - x0) * LANES
    pack(x, first, window, buffer)
    line, line_row = np.empty(stride, x.dtype), np.empty(stride, np.int32)
    cells, places = np.empty(outh * outw * LANES, x.dtype), np.empty(outh * outw * LANES, np.int32)
    for r in members:
        left, right = columns[r].min(), columns[r].max()
        n = (right - left) * LANES
        for i in range(outh):
            line[:n] = lowest
            if argmax.size == 0:
                for row in range(rows[r, i, 0], rows[r, i, 1]):
                    _keep_values(buffer, (row - y0) * stride + (left - x0) * LANES, line, ZERO, n)
                for j in range(outw):
                    begin, end = columns[r, j, 0], columns[r, j, 1] if rows[r, i, 1] > rows[r, i, 0] else ZERO
                    at = (i * outw + j) * LANES
                    cells[at : at + LANES] = lowest if begin < end else 0
                    for column in range(begin, end):
                        _keep_values(line, (column - left) * LANES, cells, at, LANES)
                continue
            line_row[:n] = NOWHERE
            for row in range(rows[r, i, 0], rows[r, i, 1]):
                _keep_larger(buffer, (row - y0) * stride + (left - x0) * LANES, np.int32(row), line, line_row, n)
            for j in range(outw):
                begin, end = columns[r, j, 0], columns[r, j, 1] if rows[r, i, 1] > rows[r, i, 0] else ZERO
                at = (i * outw + j) * LANES
                _first_largest(line, line_row, left, begin, end, width, lowest, cells, places, at, ALL)
        unpack_bins(cells, y[r], first)
        if argmax.size:
            unpack_bins(places, argmax[r], first)


@inner_exact
def _keep_values(values, at, best, first, n):
    """Keep the larger of ``best[first:]`` and ``values[at:]``."""
    start, target = np.uint64(at), np.uint64(first)
    for k in range(np.uint64(n)):
        value = values[start + k]
        best[target + k] = value if value > best[target + k] else best[target + k]


@inner_exact
def _keep_larger(values, at, row, best, best_row, n):
    """Keep the larger of ``best`` and ``values[at:]``, and its row."""
    start = np.uint64(at)
    for k in range(np.uint64(n)):
        value = values[start + k]
        larger = value > best[k]
        best[k] = value if larger else best[k]
        best_row[k] = row if larger else best_row[k]


@inner_exact
def _first_largest(values, value_rows, left, begin, end, width, lowest, cells, places, at, n):
    """Find each lane's largest of the columns [begin, end), the first in row order among equals; 0 if there are none.

    ``values`` are of the columns from ``left`` on; the largest goes to ``cells[at:][:n]``, where it is to ``places``.
    """
    to, last = np.uint64(at), np.int32(width)
    for k in range(n):
        cells[to + k] = lowest if begin < end else 0
        places[to + k] = -1
    for column in range(begin, end):
        start, here = np.uint64((column - left) * LANES), np.int32(column)
        for k in range(n):
            value, row = values[start + k], value_rows[start + k]
            found = np.int32(row * last + here) if row != NOWHERE else np.int32(-1)
            # of equals the one in an earlier row, or an earlier column of the row
            better = (value > cells[to + k]) | ((value == cells[to + k]) & (found < places[to + k]))
            cells[to + k] = value if better else cells[to + k]
            places[to + k] = found if better else places[to + k]


@exact
def scatter(gy, argmax, roi_indices, begin, end, gx):
    """Add each gradient to the pixel its maximum came from, for the channels [begin, end); RoIs in order.

    Args:
        gy (array): (R', C, bins).
        argmax (array): int32, (R', C, bins), pixel of the plane; negative passes nothing.
        roi_indices (array): int32, (R',).
        begin, end (int): Channels.
        gx (array): (B, C, H * W), zeros on entry.
    """
    for c in range(begin, end):
        for r in range(gy.shape[0]):
            plane, g, place = gx[roi_indices[r], c], gy[r, c], argmax[r, c]
            for k in range(g.size):
                if place[k] >= 0:
                    plane[place[k]] += g[k]
