"""ps_roi_align and ps_roi_pool for the CPU, compiled by Numba: one image and one row of bins at a time.

Bin (i, j) of output channel c belongs to input channel (c * outh + i) * outw + j.
"""

import numpy as np

from chainfpn.functions.kernels.numba_bilinear import allocate_taps, bin_taps
from chainfpn.functions.kernels.numba_common import ZERO, arithmetic


@arithmetic
def align_forward(x, i, members, grid, y):
    """Average the samples of each bin.

    Args:
        x (array): (C, H, W).
        i (int): Row of bins.
        members (array): int64, the RoIs of this image.
        grid (geometry.SampleGrid): The samples of each RoI.
        y (array): (R', C_out, outh, outw), receives the means.
    """
    _, channels, outh, outw = y.shape
    start, size, count = grid
    _, height, width = x.shape
    _, rows, row_weight, _ = allocate_taps(1, height, grid, members)
    _, columns, column_weight, _ = allocate_taps(1, width, grid, members)
    for r in members:
        n = bin_taps(start[r, 0], size[r, 0], count[r, 0], i, height, rows, row_weight, ZERO)
        for j in range(outw):
            m = bin_taps(start[r, 1], size[r, 1], count[r, 1], j, width, columns, column_weight, ZERO)
            for c in range(channels):
                plane = np.uint64((c * outh + i) * outw + j)
                total = x.dtype.type(0)
                for a in range(n):
                    row = np.uint64(rows[a])
                    part = x.dtype.type(0)
                    for b in range(m):
                        part += column_weight[b] * x[plane, row, np.uint64(columns[b])]
                    total += row_weight[a] * part
                y[r, c, i, j] = total


@arithmetic
def align_backward(gx, i, members, grid, gy):
    """Spread each gradient over the samples of its bin: the transpose of ``align_forward``.

    Args:
        gx (array): (C, H, W), zeros on entry in the channels of bin row ``i``.
        i, members, grid: As in ``align_forward``.
        gy (array): (R', C_out, outh, outw).
    """
    _, channels, outh, outw = gy.shape
    start, size, count = grid
    _, height, width = gx.shape
    _, rows, row_weight, _ = allocate_taps(1, height, grid, members)
    _, columns, column_weight, _ = allocate_taps(1, width, grid, members)
    for r in members:
        n = bin_taps(start[r, 0], size[r, 0], count[r, 0], i, height, rows, row_weight, ZERO)
        for j in range(outw):
            m = bin_taps(start[r, 1], size[r, 1], count[r, 1], j, width, columns, column_weight, ZERO)
            for c in range(channels):
                plane = np.uint64((c * outh + i) * outw + j)
                g = gy[r, c, i, j]
                for a in range(n):
                    row = np.uint64(rows[a])
                    part = g * row_weight[a]
                    for b in range(m):
                        gx[plane, row, np.uint64(columns[b])] += column_weight[b] * part


@arithmetic
def pool_forward(x, i, members, windows, y):
    """Average the window of each bin.

    Args:
        x (array): (C, H, W).
        i (int): Row of bins.
        members (array): int64, the RoIs of this image.
        windows (geometry.Windows): The bins of each RoI.
        y (array): (R', C_out, outh, outw), receives the means; 0 for an empty window.
    """
    _, channels, outh, outw = y.shape
    rows, columns = windows
    for j in range(outw):
        for r in members:
            top, bottom = rows[r, i, 0], rows[r, i, 1]
            left, right = columns[r, j, 0], columns[r, j, 1]
            for c in range(channels):
                plane = x[(c * outh + i) * outw + j]
                total = x.dtype.type(0)
                for row in range(top, bottom):
                    line = plane[row, left:right]
                    for k in range(line.size):
                        total += line[k]
                empty = bottom <= top or right <= left
                y[r, c, i, j] = 0 if empty else total / x.dtype.type((bottom - top) * (right - left))


@arithmetic
def pool_backward(gx, i, members, windows, gy):
    """Spread each gradient evenly over the window of its bin: the transpose of ``pool_forward``.

    Args:
        gx (array): (C, H, W), zeros on entry in the channels of bin row ``i``.
        i, members, windows: As in ``pool_forward``.
        gy (array): (R', C_out, outh, outw).
    """
    _, channels, outh, outw = gy.shape
    rows, columns = windows
    for j in range(outw):
        for r in members:
            top, bottom = rows[r, i, 0], rows[r, i, 1]
            left, right = columns[r, j, 0], columns[r, j, 1]
            if bottom <= top or right <= left:
                continue
            for c in range(channels):
                plane = gx[(c * outh + i) * outw + j]
                share = gy[r, c, i, j] / gx.dtype.type((bottom - top) * (right - left))
                for row in range(top, bottom):
                    line = plane[row, left:right]
                    for k in range(line.size):
                        line[k] += share
