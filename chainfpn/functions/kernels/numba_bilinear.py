"""Bilinear samples as short weighted sums of rows and columns, for the compiled CPU kernels.

Bilinear interpolation is separable: a bin is the sum over rows of the sum over columns. A *tap* is one row (or column)
with its weight; samples of a bin that share a row share its tap.
"""

from typing import NamedTuple

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels.numba_common import ZERO, inner_exact


class Taps(NamedTuple):
    """The taps of all bins of one axis of a RoI.

    Attributes:
        ends (array): int64, (bins, 2), the range of taps of each bin.
        line (array): int64, row (or column) of each tap, or its position in ``lines``.
        weight (array): Weight of each tap; those of a bin sum to 1 where all its samples are in the map.
        lines (array): int64, the distinct rows (or columns), ascending.
    """

    ends: Array
    line: Array
    weight: Array
    lines: Array


@inner_exact
def bin_taps(start, size, count, b, extent, line, weight, n):
    """Append the taps of a bin to ``line`` and ``weight``, see :class:`Taps`, after the first ``n``, ascending.

    Args:
        start, size, count: The axis of a RoI, see ``geometry.SampleGrid``.
        b (int): The bin.
        extent (int): Rows (or columns) of the map.
        line, weight (array): Filled from ``n`` on.
        n (int): Taps already there.

    Returns:
        int: Taps there now.
    """
    number = weight.dtype.type
    one, half = number(1), number(0.5)
    first = n
    step = size / number(count)
    base = start + number(b) * size
    begin, end = 0, count
    if step > 0:  # leave out what certainly lies outside the map; the exact test follows
        begin = int(min(max((-one - base) / step - 2, 0), count))
        end = int(min(max((number(extent) - base) / step + 2, 0), count))
    for q in range(begin, end):
        i = q if size >= 0 else begin + end - 1 - q
        at = base + (number(i) + half) * size / number(count)
        if at < -one or at > number(extent):
            continue
        at = max(at, number(0))
        low = int(at)
        upper = at - number(low)
        if low >= extent - 1:
            low, upper = extent - 1, number(0)
        n = _add_tap(line, weight, first, n, low, (one - upper) / number(count))
        if low < extent - 1:
            n = _add_tap(line, weight, first, n, low + 1, upper / number(count))
    return n


@inner_exact
def _add_tap(line, weight, first, n, at, w):
    for back in range(1, 3):
        if n - back >= first and line[n - back] == at:
            weight[n - back] += w
            return n
    line[n], weight[n] = at, w
    return n + 1


@inner_exact
def allocate_taps(n_bins, extent, grid, members):
    """Make ``Taps`` with room for ``n_bins`` bins of any of the RoIs ``members`` (int64) on ``extent`` lines."""
    most = 0
    for r in members:
        most = max(most, grid.n[r, 0], grid.n[r, 1])
    n = n_bins * min(2 + 2 * most, extent + 1)
    lines, weight = np.empty((2, n), np.int64), np.empty(n, grid.start.dtype)
    return Taps(np.empty((n_bins, 2), np.int64), lines[0], weight, lines[1])


@inner_exact
def axis_taps(grid, r, axis, extent, taps):
    """List the taps of all bins of an axis, numbered by the lines they need.

    Args:
        grid (geometry.SampleGrid): The samples.
        r, axis (int): RoI and axis.
        extent (int): Rows (or columns) of the map.
        taps (Taps): Filled; ``line`` is the position in ``lines``.

    Returns:
        int: Number of lines.
    """
    ends, line, weight, lines = taps
    start, size, count = grid.start[r, axis], grid.size[r, axis], grid.n[r, axis]
    n_bins = ends.shape[0]
    n, n_lines = ZERO, ZERO
    for k in range(n_bins):
        b = k if size >= 0 else n_bins - 1 - k
        begin = n
        n = bin_taps(start, size, count, b, extent, line, weight, n)
        ends[b, 0], ends[b, 1] = begin, n
        for tap in range(begin, n):
            at = line[tap]
            place = n_lines
            while place > 0 and lines[place - 1] >= at:
                place -= 1
            if place == n_lines:
                lines[n_lines] = at
                n_lines += 1
            line[tap] = place
    return n_lines
