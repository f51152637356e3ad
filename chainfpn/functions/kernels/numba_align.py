"""roi_align for the CPU, compiled by Numba."""

import numpy as np

from chainfpn.functions.kernels.numba_common import (
    LANES,
    add_scaled,
    arithmetic,
    pack,
    pack_bins,
    unpack,
    unpack_bins,
    weighted_sum,
)
from chainfpn.functions.kernels.numba_samples import axis_taps, find_runs, tap_room


@arithmetic
def align_forward(x, first, window, members, start, size, count, outsize, y):
    """Pool one image, one block of channels.

    Args:
        x (array): (C, H, W).
        first (int): First channel of the block.
        window (tuple): y0, y1, x0, x1: the part of the map that the members touch.
        members (array): int64, the RoIs of this image.
        start, size, count (array): See ``geometry.SampleGrid``.
        outsize (tuple): Rows and columns of bins.
        y (array): (R', C, outh * outw), receives the members' results.
    """
    channels, height, width = x.shape
    outh, outw = outsize
    y0, y1, x0, x1 = window
    stride = (x1 - x0) * LANES
    n_lanes = min(LANES, channels - first)
    buffer = np.zeros((y1 - y0) * stride, x.dtype)
    pack(x, first, window, buffer)

    row_ends, row_index, row_weight, rows = tap_room(outh, height, start, count, members)
    column_ends, column_index, column_weight, columns = tap_room(outw, width, start, count, members)
    runs = np.empty(columns.size + 1, np.int64)
    line = np.zeros(min(columns.size, width) * LANES, x.dtype)
    cells = np.zeros(outh * outw * LANES, x.dtype)

    for r in members:
        axis_taps(start[r, 0], size[r, 0], count[r, 0], height, row_ends, row_index, row_weight, rows)
        n = axis_taps(start[r, 1], size[r, 1], count[r, 1], width, column_ends, column_index, column_weight, columns)
        n_runs = find_runs(columns, n, runs)
        for k in range(row_ends.max()):
            row_index[k] = (rows[row_index[k]] - y0) * stride
        for k in range(column_ends.max()):
            column_index[k] *= LANES
        for i in range(outh):
            a, b = row_ends[i, 0], row_ends[i, 1]
            for k in range(n_runs):  # sum over rows, for every column this RoI needs
                at, n = (columns[runs[k]] - x0) * LANES, (runs[k + 1] - runs[k]) * LANES
                weighted_sum(buffer, at, row_index, row_weight, a, b, line, runs[k] * LANES, n)
            for j in range(outw):  # sum over columns
                a, b = column_ends[j, 0], column_ends[j, 1]
                weighted_sum(line, 0, column_index, column_weight, a, b, cells, (i * outw + j) * LANES, LANES)
        unpack_bins(cells, n_lanes, y[r], first)


@arithmetic
def align_backward(gy, first, window, members, start, size, count, outsize, gx):
    """Spread the gradient of one image, one block of channels: the transpose of ``align_forward``.

    Args:
        gy (array): (R', C, outh * outw).
        first, window, members, start, size, count, outsize: As in ``align_forward``.
        gx (array): (C, H, W), receives the block's gradient, zeros included.
    """
    channels, height, width = gx.shape
    outh, outw = outsize
    y0, y1, x0, x1 = window
    stride = (x1 - x0) * LANES
    n_lanes = min(LANES, channels - first)
    buffer = np.zeros((y1 - y0) * stride, gx.dtype)

    row_ends, row_index, row_weight, rows = tap_room(outh, height, start, count, members)
    column_ends, column_index, column_weight, columns = tap_room(outw, width, start, count, members)
    runs = np.empty(columns.size + 1, np.int64)
    line = np.zeros(min(columns.size, width) * LANES, gx.dtype)
    cells = np.zeros(outh * outw * LANES, gx.dtype)

    for r in members:
        axis_taps(start[r, 0], size[r, 0], count[r, 0], height, row_ends, row_index, row_weight, rows)
        n = axis_taps(start[r, 1], size[r, 1], count[r, 1], width, column_ends, column_index, column_weight, columns)
        n_runs = find_runs(columns, n, runs)
        pack_bins(gy[r], first, n_lanes, cells)
        for i in range(outh):
            line[: n * LANES] = 0
            for j in range(outw):
                cell = cells[(i * outw + j) * LANES : (i * outw + j + 1) * LANES]
                for tap in range(column_ends[j, 0], column_ends[j, 1]):
                    at = column_index[tap] * LANES
                    add_scaled(cell, column_weight[tap], line[at : at + LANES])
            for tap in range(row_ends[i, 0], row_ends[i, 1]):
                row = buffer[(rows[row_index[tap]] - y0) * stride : (rows[row_index[tap]] - y0 + 1) * stride]
                for k in range(n_runs):
                    at, n_lines = (columns[runs[k]] - x0) * LANES, runs[k + 1] - runs[k]
                    source = line[runs[k] * LANES : runs[k + 1] * LANES]
                    add_scaled(source, row_weight[tap], row[at : at + n_lines * LANES])
    unpack(buffer, window, first, gx)
