"""Where ``numba_grouped`` finds what: rows that are turned at a time, taps in them, and taps that follow each other."""

import functools
import itertools

import numpy as np

from chainfpn._typing import Size
from chainfpn.functions.kernels.numba_lanes import LANES

#: Outputs, and taps of a gradient of the weights, whose sums are in registers at the same time.
WINDOWS, TAPS = 7, 9

#: Bytes of the turned rows that a strip of outputs is made of: they stay in the cache of a core.
STRIP_BYTES = 320 << 10

#: Pixels that are turned at a time, at least: they stay in the innermost cache.
TURNED = 96


@functools.lru_cache(4096)
def plan_strips(
    in_shape: tuple,
    W_shape: tuple,
    out_shape: tuple,
    stride: Size,
    pad: Size,
    dilate: Size,
    groups: int,
    itemsize: int,
    is_turned: bool,
) -> tuple:
    """Cut a convolution, or its transpose in the input, into strips of rows.

    Args:
        in_shape, W_shape, out_shape (tuple): Of an image that is read, (C, H, W), the weights, and one that is written.
        stride, pad, dilate ((int, int)): Of the convolution.
        groups (int): Groups of channels.
        itemsize (int): Bytes of a number.
        is_turned (bool): Whether it is the transpose.

    Returns:
        tuple: Sizes and steps; where taps lie, and which they are; runs of them; numbers of a thread's arrays.
    """
    n_in, n_out = in_shape[0] // groups, out_shape[0] // groups
    ksize, outsize = W_shape[2:], out_shape[1:]
    axes = [_axis(*axis, is_turned) for axis in zip(ksize, stride, pad, dilate, strict=True)]
    pads, reach, phases = zip(*axes, strict=True)
    inner, step = ((1, 1), stride) if is_turned else (stride, (1, 1))
    n_rows, n_columns = (-(-n // s) for n, s in zip(outsize, step, strict=True))
    line = (n_columns - 1) * inner[1] + reach[1]
    most = max(STRIP_BYTES // (n_in * line * LANES * itemsize) - reach[0], 0) // inner[0] + 1
    strip = -(-n_rows // -(-n_rows // most))
    group, turned = min(strip, -(-TURNED // (outsize[1] * step[0]))), -(-TURNED // in_shape[2])
    area = ((strip - 1) * inner[0] + reach[0]) * line
    table, runs = _taps(phases, ksize[1], line, inner[1] == 1)
    n_turned, n_taps = max(turned * in_shape[2], group * step[0] * outsize[1]), table.shape[1]
    sizes = n_in * area + WINDOWS * inner[1], n_turned, n_out * (n_in * (n_taps + TAPS) + 3)
    maps, edges, blocks = (*in_shape[1:], *outsize), (*pads, reach[0]), (line, area, strip, group, turned)
    plan = (groups, n_in, n_out), maps, (*inner, *step, n_rows), edges, blocks
    return plan, table, runs, [n * LANES for n in sizes]


def _taps(phases, kw, line, in_runs):
    """Return where taps lie and which they are; and runs of neighbours in a row, if asked for, by place in a stride.

    A run has where it begins, its first vector of weights, and how many.
    """
    taps: list[tuple[int, int]] = []
    runs: list[tuple[int, int, int]] = []
    starts = [0]
    for rows, columns in itertools.product(*phases):
        follow = in_runs and all(b == a + 1 for (_, a), (_, b) in itertools.pairwise(columns))
        for row, i in rows:
            here = [((i * line + j) * LANES, row * kw + column) for column, j in columns]
            step = max(len(here), 1) if follow else 1
            runs += [(here[k][0], (len(taps) + k) * LANES, step) for k in range(0, len(here), step)]
            taps += here
        starts.append(len(runs))
    table = np.array(taps, np.int64).reshape(-1, 2).T.copy()
    return table, (np.array(runs, np.int64).reshape(-1, 3), np.array(starts))


def _axis(n_taps, stride, pad, dilate, is_turned):
    """Return the zeros before an axis, how far taps reach, and for each place in a stride its taps, and where."""
    if not is_turned:
        return pad, (n_taps - 1) * dilate + 1, [[(k, k * dilate) for k in range(n_taps)]]
    before = -((pad - (n_taps - 1) * dilate) // stride)
    places = [[(k, divmod(place + pad - k * dilate, stride)) for k in range(n_taps)] for place in range(stride)]
    phases = [[(k, at + before) for k, (at, rest) in reversed(place) if rest == 0] for place in places]
    return before, before + (stride - 1 + pad) // stride + 1, phases
