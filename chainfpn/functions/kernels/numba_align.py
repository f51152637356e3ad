"""roi_align for the CPU, compiled by Numba."""

import numpy as np

from chainfpn.functions.kernels.numba_common import (
    arithmetic,
    copy_transposed,
    inner_arithmetic,
    inner_exact,
    pack,
    unpack,
    unpack_bins,
)
from chainfpn.functions.kernels.numba_lanes import LANES, add_scaled, fill, load, store


@arithmetic
def align_forward(workspace, x, first, window, members, rows, columns, places, y):
    """Pool one image, one block of channels.

    Args:
        workspace (numba_common.Workspace): Overwritten.
        x (array): (C, H, W).
        first (int): First channel of the block.
        window (tuple): y0, y1, x0, x1: the part of the map that the members touch.
        members (array): int64, the RoIs of this image.
        rows, columns (numba_bilinear.Taps): The taps of all RoIs; those of columns have positions.
        places (array): int64, where the result of each RoI lies in ``y``.
        y (array): (any number, C, outh * outw), receives the members' results.
    """
    y0, _, x0, x1 = window
    outh, outw, stride = rows.ends.shape[1], columns.ends.shape[1], (x1 - x0) * LANES
    buffer, line, cells, origin = workspace.buffer, workspace.line, workspace.cells, -y0 * stride - x0 * LANES
    pack(x, first, window, buffer)
    for r in members:
        lines, n_lines = columns.lines[columns.starts[r] :], columns.n_lines[r]
        for i in range(outh):
            line[: n_lines * LANES] = 0
            begin, end = rows.ends[r, i, 0], rows.ends[r, i, 1]
            whole = end - (end - begin) % 4
            for tap in range(begin, whole, 4):
                _sum_rows(buffer, *_take_four(rows, tap, stride, origin), lines, n_lines, line)
            for tap in range(whole, end):
                _sum_rows(buffer, *_take_one(rows, tap, stride, origin), lines, n_lines, line)
            for j in range(outw):
                total = fill(x.dtype.type(0))
                for tap in range(np.uint64(columns.ends[r, j, 0]), np.uint64(columns.ends[r, j, 1])):
                    total = add_scaled(total, columns.weight[tap], load(line, columns.line[tap] * LANES))
                store(cells, (i * outw + j) * LANES, total)
        unpack_bins(cells, places[r], first, y)


@inner_exact
def _take_one(rows, tap, stride, origin):
    """Return where a row begins in the buffer, and its weight, as tuples."""
    return (origin + stride * rows.line[tap],), (rows.weight[tap],)


@inner_exact
def _take_four(rows, tap, stride, origin):
    """Return the same of four taps: half the time of one after the other."""
    line, weight = rows.line, rows.weight
    at = origin + stride * line[tap], origin + stride * line[tap + 1]
    also = origin + stride * line[tap + 2], origin + stride * line[tap + 3]
    return at + also, (weight[tap], weight[tap + 1], weight[tap + 2], weight[tap + 3])


@inner_arithmetic
def _sum_rows(buffer, at, weights, lines, n_lines, line):
    """Add rows that begin at ``at``, weighted, to the line: of each row the columns ``lines[:n_lines]``."""
    for k in range(n_lines):
        total, column = load(line, k * LANES), lines[k] * LANES
        for tap in range(len(at)):
            total = add_scaled(total, weights[tap], load(buffer, at[tap] + column))
        store(line, k * LANES, total)


@inner_arithmetic
def _spread_line(line, lines, n_lines, at, weights, buffer):
    """Add the line, weighted, to rows of the buffer: the transpose of ``_sum_rows``."""
    for k in range(n_lines):
        value, column = load(line, k * LANES), lines[k] * LANES
        for tap in range(len(at)):
            place = at[tap] + column
            store(buffer, place, add_scaled(load(buffer, place), weights[tap], value))


@arithmetic
def align_backward(workspace, gx, first, window, members, rows, columns, places, gy):
    """Spread the gradient of one image, one block of channels: the transpose of ``align_forward``.

    Args:
        gx (array): (C, H, W), receives the block's gradient, zeros included.
        workspace, first, window, members, rows, columns, places: As in ``align_forward``.
        gy (array): (any number, C, outh * outw).
    """
    y0, y1, x0, x1 = window
    outh, outw, stride = rows.ends.shape[1], columns.ends.shape[1], (x1 - x0) * LANES
    n_channels, n_bins = gy.shape[1:]
    buffer, line, cells, origin = workspace.buffer, workspace.line, workspace.cells, -y0 * stride - x0 * LANES
    buffer[: (y1 - y0) * stride], cells[:] = 0, 0
    for r in members:
        lines, n_lines = columns.lines[columns.starts[r] :], columns.n_lines[r]
        at = (places[r] * n_channels + first) * n_bins
        copy_transposed(gy.ravel(), at, n_bins, min(LANES, n_channels - first), n_bins, cells, 0, LANES)
        for i in range(outh):
            line[: n_lines * LANES] = 0
            for j in range(outw):
                value = load(cells, (i * outw + j) * LANES)
                for tap in range(np.uint64(columns.ends[r, j, 0]), np.uint64(columns.ends[r, j, 1])):
                    place = columns.line[tap] * LANES
                    store(line, place, add_scaled(load(line, place), columns.weight[tap], value))
            begin, end = rows.ends[r, i, 0], rows.ends[r, i, 1]
            whole = end - (end - begin) % 4
            for tap in range(begin, whole, 4):
                _spread_line(line, lines, n_lines, *_take_four(rows, tap, stride, origin), buffer)
            for tap in range(whole, end):
                _spread_line(line, lines, n_lines, *_take_one(rows, tap, stride, origin), buffer)
    unpack(buffer, window, first, gx)
