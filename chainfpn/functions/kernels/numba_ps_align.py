"""ps_roi_align for the CPU, compiled by Numba."""

from chainfpn.functions.kernels.numba_common import arithmetic
from chainfpn.functions.kernels.numba_samples import bin_taps, tap_room


@arithmetic
def ps_align_forward(x, i, members, start, size, count, y):
    """Average the samples of bin row ``i`` of one image, each bin from its own channel.

    Args:
        x (array): (C, H, W); bin (i, j) of output channel c comes from channel (c * outh + i) * outw + j.
        i (int): Row of bins.
        members (array): int64, the RoIs of this image.
        start, size, count (array): See ``geometry.SampleGrid``.
        y (array): (R', C_out, outh, outw), receives the means.
    """
    _, channels, outh, outw = y.shape
    _, height, width = x.shape
    _, rows, row_weight, _ = tap_room(1, height, start, count, members)
    _, columns, column_weight, _ = tap_room(1, width, start, count, members)
    for j in range(outw):
        for r in members:
            n = bin_taps(start[r, 0], size[r, 0], count[r, 0], i, height, rows, row_weight, 0)
            m = bin_taps(start[r, 1], size[r, 1], count[r, 1], j, width, columns, column_weight, 0)
            for c in range(channels):
                plane = x[(c * outh + i) * outw + j]
                total = x.dtype.type(0)
                for a in range(n):
                    line = plane[rows[a]]
                    part = x.dtype.type(0)
                    for b in range(m):
                        part += column_weight[b] * line[columns[b]]
                    total += row_weight[a] * part
                y[r, c, i, j] = total


@arithmetic
def ps_align_backward(gy, i, members, start, size, count, gx):
    """Spread the gradient of bin row ``i`` of one image: the transpose of ``ps_align_forward``.

    Args:
        gy (array): (R', C_out, outh, outw).
        i, members, start, size, count: As in ``ps_align_forward``.
        gx (array): (C, H, W), zeros on entry in the channels of bin row ``i``.
    """
    _, channels, outh, outw = gy.shape
    _, height, width = gx.shape
    _, rows, row_weight, _ = tap_room(1, height, start, count, members)
    _, columns, column_weight, _ = tap_room(1, width, start, count, members)
    for j in range(outw):
        for r in members:
            n = bin_taps(start[r, 0], size[r, 0], count[r, 0], i, height, rows, row_weight, 0)
            m = bin_taps(start[r, 1], size[r, 1], count[r, 1], j, width, columns, column_weight, 0)
            for c in range(channels):
                plane = gx[(c * outh + i) * outw + j]
                g = gy[r, c, i, j]
                for a in range(n):
                    line = plane[rows[a]]
                    part = g * row_weight[a]
                    for b in range(m):
                        line[columns[b]] += column_weight[b] * part
