"""roi_align for the CPU, compiled by Numba."""

import numpy as np

from chainfpn.functions.kernels.numba_bilinear import allocate_taps, axis_taps, find_runs
from chainfpn.functions.kernels.numba_common import (
    ALL,
    LANES,
    ONE,
    ZERO,
    add_scaled,
    arithmetic,
    copy,
    inner_exact,
    pack,
    unpack,
    unpack_bins,
    weighted_sum,
)


@inner_exact
def _allocate(outsize, map_shape, grid, members):
    """Make the taps of both axes, the first columns of runs of neighbours, a line of columns and the bins."""
    rows = allocate_taps(outsize[0], map_shape[0], grid, members)
    columns = allocate_taps(outsize[1], map_shape[1], grid, members)
    line = np.zeros(min(columns.lines.size, map_shape[1]) * LANES, grid.start.dtype)
    cells = np.zeros(outsize[0] * outsize[1] * LANES, grid.start.dtype)
    return rows, columns, np.empty(columns.lines.size + 1, np.int64), line, cells


@inner_exact
def _place(grid, r, map_shape, rows, columns, runs):
    """List the taps of a RoI and the runs of its columns; return how many columns and runs there are."""
    axis_taps(grid, r, ZERO, map_shape[0], rows)
    n_columns = axis_taps(grid, r, ONE, map_shape[1], columns)
    return n_columns, find_runs(columns.lines, n_columns, runs)


@arithmetic
def align_forward(x, first, window, members, grid, outsize, y):
    """Pool one image, one block of channels.

    Args:
        x (array): (C, H, W).
        first (int): First channel of the block.
        window (tuple): y0, y1, x0, x1: the part of the map that the members touch.
        members (array): int64, the RoIs of this image.
        grid (geometry.SampleGrid): The samples of each RoI.
        outsize (tuple): Rows and columns of bins.
        y (array): (R', C, outh * outw), receives the members' results.
    """
    outh, outw = outsize
    y0, _, x0, x1 = window
    stride = (x1 - x0) * LANES
    buffer = pack(x, first, window)
    rows, columns, runs, line, cells = _allocate(outsize, x.shape[1:], grid, members)
    row_ends, row_at, row_weight, row_lines = rows
    column_ends, column_at, column_weight, column_lines = columns
    for r in members:
        _, n_runs = _place(grid, r, x.shape[1:], rows, columns, runs)
        for k in range(max(row_ends[0, 1], row_ends[outh - 1, 1])):
            row_at[k] = (row_lines[row_at[k]] - y0) * stride
        for k in range(max(column_ends[0, 1], column_ends[outw - 1, 1])):
            column_at[k] *= LANES
        for i in range(outh):
            a, b = row_ends[i, 0], row_ends[i, 1]
            for k in range(n_runs):  # sum over rows, for every column this RoI needs
                at, n = (column_lines[runs[k]] - x0) * LANES, (runs[k + 1] - runs[k]) * LANES
                weighted_sum(buffer, at, row_at, row_weight, a, b, line, runs[k] * LANES, n)
            for j in range(outw):  # sum over columns
                a, b = column_ends[j, 0], column_ends[j, 1]
                weighted_sum(line, ZERO, column_at, column_weight, a, b, cells, (i * outw + j) * LANES, ALL)
        unpack_bins(cells, y[r], first)


@arithmetic
def align_backward(gx, first, window, members, grid, outsize, gy):
    """Spread the gradient of one image, one block of channels: the transpose of ``align_forward``.

    Args:
        gx (array): (C, H, W), receives the block's gradient, zeros included.
        first, window, members, grid, outsize: As in ``align_forward``.
        gy (array): (R', C, outh * outw).
    """
    outh, outw = outsize
    y0, y1, x0, x1 = window
    stride = (x1 - x0) * LANES
    buffer = np.zeros((y1 - y0) * stride, gx.dtype)
    rows, columns, runs, line, cells = _allocate(outsize, gx.shape[1:], grid, members)
    row_ends, row_at, row_weight, row_lines = rows
    column_ends, column_at, column_weight, column_lines = columns
    for r in members:
        n_columns, n_runs = _place(grid, r, gx.shape[1:], rows, columns, runs)
        for lane in range(min(LANES, gx.shape[0] - first)):
            copy(gy[r, first + lane], cells[lane::LANES])
        for i in range(outh):
            line[: n_columns * LANES] = 0
            for j in range(outw):
                cell = cells[(i * outw + j) * LANES : (i * outw + j + 1) * LANES]
                for tap in range(column_ends[j, 0], column_ends[j, 1]):
                    at = column_at[tap] * LANES
                    add_scaled(cell, column_weight[tap], line[at : at + LANES])
            for tap in range(row_ends[i, 0], row_ends[i, 1]):
                row = (row_lines[row_at[tap]] - y0) * stride
                for k in range(n_runs):
                    at = row + (column_lines[runs[k]] - x0) * LANES
                    source = line[runs[k] * LANES : runs[k + 1] * LANES]
                    add_scaled(source, row_weight[tap], buffer[at : at + source.size])
    unpack(buffer, window, first, gx)
