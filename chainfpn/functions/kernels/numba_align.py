"""roi_align for the CPU, compiled by Numba."""

import numpy as np

from chainfpn.functions.kernels.numba_common import (
    ZERO,
    arithmetic,
    copy_transposed,
    flat,
    inner_arithmetic,
    pack,
    smaller,
    unpack,
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
    (_, n_channels, n_bins), lanes, target = y.shape, np.int64(LANES), flat(y)
    pack(x, first, window, buffer)
    for r in members:
        lines, n_lines = columns.lines[columns.starts[r] :], columns.n_lines[r]
        for i in range(outh):
            begin, end = rows.ends[r, i, 0], rows.ends[r, i, 1]
            _sum_rows(buffer, rows.line, rows.weight, begin, end, (stride, origin), lines, n_lines, line)
            for j in range(outw):
                total = fill(x.dtype.type(0))
                for tap in range(np.uint64(columns.ends[r, j, 0]), np.uint64(columns.ends[r, j, 1])):
                    total = add_scaled(total, columns.weight[tap], load(line, columns.line[tap] * LANES))
                store(cells, (i * outw + j) * LANES, total)
        at = (places[r] * n_channels + first) * n_bins
        copy_transposed(cells, ZERO, LANES, n_bins, smaller(lanes, n_channels - first), target, at, n_bins)


@inner_arithmetic
def _sum_rows(buffer, at, weight, begin, end, geometry, lines, n_lines, line):
    """Set the line to the sum of some taps of rows: of each row the columns ``lines[:n_lines]``."""
    stride, origin = geometry
    begin, end = np.uint64(begin), np.uint64(end)
    for k in range(n_lines):
        total, place = fill(weight.dtype.type(0)), origin + lines[k] * LANES
        for tap in range(begin, end):
            total = add_scaled(total, weight[tap], load(buffer, place + stride * at[tap]))
        store(line, k * LANES, total)


@inner_arithmetic
def _spread_line(line, lines, n_lines, at, weight, begin, end, geometry, buffer):
    """Add the line, weighted, to the rows of some taps in the buffer: the transpose of ``_sum_rows``."""
    stride, origin = geometry
    begin, end = np.uint64(begin), np.uint64(end)
    for k in range(n_lines):
        value, first = load(line, k * LANES), origin + lines[k] * LANES
        for tap in range(begin, end):
            place = first + stride * at[tap]
            store(buffer, place, add_scaled(load(buffer, place), weight[tap], value))


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
    (_, n_channels, n_bins), lanes, source = gy.shape, np.int64(LANES), flat(gy)
    buffer, line, cells, origin = workspace.buffer, workspace.line, workspace.cells, -y0 * stride - x0 * LANES
    buffer[: (y1 - y0) * stride], cells[:] = 0, 0
    for r in members:
        lines, n_lines = columns.lines[columns.starts[r] :], columns.n_lines[r]
        at = (places[r] * n_channels + first) * n_bins
        copy_transposed(source, at, n_bins, smaller(lanes, n_channels - first), n_bins, cells, ZERO, LANES)
        for i in range(outh):
            line[: n_lines * LANES] = 0
            for j in range(outw):
                value = load(cells, (i * outw + j) * LANES)
                for tap in range(np.uint64(columns.ends[r, j, 0]), np.uint64(columns.ends[r, j, 1])):
                    place = columns.line[tap] * LANES
                    store(line, place, add_scaled(load(line, place), columns.weight[tap], value))
            begin, end = rows.ends[r, i, 0], rows.ends[r, i, 1]
            _spread_line(line, lines, n_lines, rows.line, rows.weight, begin, end, (stride, origin), buffer)
    unpack(buffer, window, first, gx)
