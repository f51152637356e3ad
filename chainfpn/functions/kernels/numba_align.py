"""roi_align for the CPU, compiled by Numba."""

import numpy as np

from chainfpn.functions.kernels.numba_common import (
    ALL,
    LANES,
    STEP,
    ZERO,
    arithmetic,
    copy,
    pack,
    spread,
    unpack,
    unpack_bins,
    weighted_sum,
)


@arithmetic
def align_forward(buffer, x, first, window, members, rows, columns, y):
    """Pool one image, one block of channels.

    Args:
        buffer (array): At least the window and ``LANES`` large, overwritten.
        x (array): (C, H, W).
        first (int): First channel of the block.
        window (tuple): y0, y1, x0, x1: the part of the map that the members touch.
        members (array): int64, the RoIs of this image.
        rows, columns (numba_bilinear.Taps): The taps of all RoIs; those of columns have positions.
        y (array): (R', C, outh * outw), receives the members' results.
    """
    y0, _, x0, x1 = window
    outh, outw, stride = rows.ends.shape[1], columns.ends.shape[1], (x1 - x0) * LANES
    line, cells = np.empty(stride, x.dtype), np.empty(outh * outw * LANES, x.dtype)
    pack(x, first, window, buffer)
    for r in members:
        lines = columns.lines[columns.starts[r] :]
        for i in range(outh):
            a, b = rows.ends[r, i, 0], rows.ends[r, i, 1]
            for k in range(columns.n_lines[r]):  # sum over rows, for every column this RoI needs
                at = (lines[k] - x0) * LANES - y0 * stride
                weighted_sum(buffer, at, rows.line, stride, rows.weight, a, b, line, k * LANES, ALL)
            for j in range(outw):  # sum over columns
                a, b = columns.ends[r, j, 0], columns.ends[r, j, 1]
                at = (i * outw + j) * LANES
                weighted_sum(line, ZERO, columns.line, STEP, columns.weight, a, b, cells, at, ALL)
        unpack_bins(cells, y[r], first)


@arithmetic
def align_backward(buffer, gx, first, window, members, rows, columns, gy):
    """Spread the gradient of one image, one block of channels: the transpose of ``align_forward``.

    Args:
        gx (array): (C, H, W), receives the block's gradient, zeros included.
        buffer, first, window, members, rows, columns: As in ``align_forward``.
        gy (array): (R', C, outh * outw).
    """
    y0, y1, x0, x1 = window
    outh, outw, stride = rows.ends.shape[1], columns.ends.shape[1], (x1 - x0) * LANES
    line, cells = np.empty(stride, gx.dtype), np.zeros(outh * outw * LANES, gx.dtype)
    buffer[: (y1 - y0) * stride] = 0
    for r in members:
        lines, n_lines = columns.lines[columns.starts[r] :], columns.n_lines[r]
        for lane in range(min(LANES, gx.shape[0] - first)):
            copy(gy[r, first + lane], cells[lane::LANES])
        for i in range(outh):
            line[: n_lines * LANES] = 0
            for j in range(outw):
                a, b = columns.ends[r, j, 0], columns.ends[r, j, 1]
                spread(cells, (i * outw + j) * LANES, columns.line, STEP, columns.weight, a, b, line, ZERO, ALL)
            a, b = rows.ends[r, i, 0], rows.ends[r, i, 1]
            for k in range(n_lines):
                at = (lines[k] - x0) * LANES - y0 * stride
                spread(line, k * LANES, rows.line, stride, rows.weight, a, b, buffer, at, ALL)
    unpack(buffer, window, first, gx)
