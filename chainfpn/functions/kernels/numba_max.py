"""Maxima over windows of whole pixels for the CPU, compiled by Numba."""

import numpy as np

from chainfpn.functions.kernels.numba_common import LANES, exact, pack, unpack_bins

#: Row of a column in which nothing was above the lowest float.
NOWHERE = 2**31 - 1


@exact
def forward(x, first, window, members, windows, lowest, y, argmax):
    """Take the maximum of each window for one image and one block of channels.

    The maximum over rows comes first, for every column of the RoI at once; ties keep the first pixel in row order.

    Args:
        x, first, window, members: See ``numba_align.align_forward``.
        windows (geometry.Windows): The bins of each RoI.
        lowest (float): What a value must exceed to be found; the maximum where none does.
        y (array): (R', C, outh * outw), receives the maxima; 0 for an empty window.
        argmax (array): int32, like ``y``, receives ``row * W + column``; -1 where nothing was found.
    """
    width = x.shape[2]
    rows, columns = windows
    outh, outw = rows.shape[1], columns.shape[1]
    y0, _, x0, x1 = window
    stride = (x1 - x0) * LANES
    buffer = pack(x, first, window)
    line, line_row = np.empty(stride, x.dtype), np.empty(stride, np.int32)
    cells, places = np.empty(outh * outw * LANES, x.dtype), np.empty(outh * outw * LANES, np.int32)
    for r in members:
        left, right = columns[r].min(), columns[r].max()
        n = (right - left) * LANES
        for i in range(outh):
            best, best_row = line[:n], line_row[:n]
            best[:] = lowest
            best_row[:] = NOWHERE
            for row in range(rows[r, i, 0], rows[r, i, 1]):
                at = (row - y0) * stride + (left - x0) * LANES
                _keep_larger(buffer[at : at + n], np.int32(row), best, best_row)
            for j in range(outw):
                at = (i * outw + j) * LANES
                cell, place = cells[at : at + LANES], places[at : at + LANES]
                begin, end = columns[r, j, 0], columns[r, j, 1]
                if rows[r, i, 1] <= rows[r, i, 0] or end <= begin:
                    cell[:] = 0
                    place[:] = -1
                else:
                    at = (begin - left) * LANES
                    _first_largest(best[at:], best_row[at:], begin, end, width, lowest, cell, place)
        unpack_bins(cells, y[r], first)
        unpack_bins(places, argmax[r], first)


@exact
def _keep_larger(values, row, best, best_row):
    for k in range(best.size):
        larger = values[k] > best[k]
        best[k] = values[k] if larger else best[k]
        best_row[k] = row if larger else best_row[k]


@exact
def _first_largest(values, value_rows, begin, end, width, lowest, cell, place):
    """Find each lane's largest of the columns [begin, end), the first in row order among equals."""
    cell_row = np.empty(LANES, np.int32)
    cell[:] = lowest
    cell_row[:] = NOWHERE
    place[:] = -1
    for column in range(begin, end):
        at = (column - begin) * LANES
        v, v_row = values[at : at + LANES], value_rows[at : at + LANES]
        here = np.int32(column)
        for k in range(LANES):
            better = (v[k] > cell[k]) | ((v[k] == cell[k]) & (v_row[k] < cell_row[k]))
            cell[k] = v[k] if better else cell[k]
            cell_row[k] = v_row[k] if better else cell_row[k]
            place[k] = here if better else place[k]
    for k in range(LANES):
        place[k] = cell_row[k] * np.int32(width) + place[k] if place[k] >= 0 else -1


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
