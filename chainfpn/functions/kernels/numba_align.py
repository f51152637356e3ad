"""roi_align for the CPU, compiled by Numba."""

import numpy as np

from chainfpn.functions.kernels.numba_bilinear import allocate_taps, axis_taps
from chainfpn.functions.kernels.numba_common import (
    ALL,
    LANES,
    ONE,
    ZERO,
    arithmetic,
    copy,
    inner_exact,
    pack,
    spread,
    unpack,
    unpack_bins,
    weighted_sum,
)


@inner_exact
def _allocate(outsize, map_shape, grid, members):
    """Make the taps of both axes, a line of columns and the bins."""
    rows = allocate_taps(outsize[0], map_shape[0], grid, members)
    columns = allocate_taps(outsize[1], map_shape[1], grid, members)
    line = np.zeros(min(columns.lines.size, map_shape[1]) * LANES, grid.start.dtype)
    cells = np.zeros(outsize[0] * outsize[1] * LANES, grid.start.dtype)
    return rows, columns, line, cells


@inner_exact
def _place(grid, r, window, map_shape, rows, columns):
    """List the taps of a RoI, those of rows by their place in the buffer of a window, those of columns in a line of it.

    Returns:
        int: Columns that are needed.
    """
    y0, _, x0, x1 = window
    axis_taps(grid, r, ZERO, map_shape[0], rows)
    n_columns = axis_taps(grid, r, ONE, map_shape[1], columns)
    for k in range(max(rows.ends[0, 1], rows.ends[-1, 1])):
        rows.line[k] = (rows.lines[rows.line[k]] - y0) * (x1 - x0) * LANES
    for k in range(max(columns.ends[0, 1], columns.ends[-1, 1])):
        columns.line[k] *= LANES
    return n_columns


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
    x0 = window[2]
    buffer = pack(x, first, window)
    rows, columns, line, cells = _allocate(outsize, x.shape[1:], grid, members)
    row_ends, row_at, row_weight, _ = rows
    column_ends, column_at, column_weight, column_lines = columns
    for r in members:
        n_columns = _place(grid, r, window, x.shape[1:], rows, columns)
        for i in range(outh):
            a, b = row_ends[i, 0], row_ends[i, 1]
            for k in range(n_columns):  # sum over rows, for every column this RoI needs
                weighted_sum(buffer, (column_lines[k] - x0) * LANES, row_at, row_weight, a, b, line, k * LANES, ALL)
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
    buffer = np.zeros((y1 - y0) * (x1 - x0) * LANES, gx.dtype)
    rows, columns, line, cells = _allocate(outsize, gx.shape[1:], grid, members)
    row_ends, row_at, row_weight, _ = rows
    column_ends, column_at, column_weight, column_lines = columns
    for r in members:
        n_columns = _place(grid, r, window, gx.shape[1:], rows, columns)
        for lane in range(min(LANES, gx.shape[0] - first)):
            copy(gy[r, first + lane], cells[lane::LANES])
        for i in range(outh):
            line[: n_columns * LANES] = 0
            for j in range(outw):
                a, b = column_ends[j, 0], column_ends[j, 1]
                spread(cells, (i * outw + j) * LANES, column_at, column_weight, a, b, line, ZERO, ALL)
            a, b = row_ends[i, 0], row_ends[i, 1]
            for k in range(n_columns):
                spread(line, k * LANES, row_at, row_weight, a, b, buffer, (column_lines[k] - x0) * LANES, ALL)
    unpack(buffer, window, first, gx)
