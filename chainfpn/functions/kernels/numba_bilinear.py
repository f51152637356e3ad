"""Bilinear samples as short weighted sums of rows and columns, for the compiled CPU kernels.

Bilinear interpolation is separable: a bin is the sum over rows of the sum over columns. A *tap* is one row (or column)
with its weight; samples of a bin that share a row share its tap.
"""

from typing import NamedTuple

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import threads
from chainfpn.functions.kernels.geometry import SampleGrid, Windows
from chainfpn.functions.kernels.numba_common import exact, inner_exact, larger, smaller


class Taps(NamedTuple):
    """The taps of all bins of all RoIs on one axis.

    Attributes:
        ends (array): int64, (R', bins, 2), the range of taps of each bin.
        line (array): int64, row (or column) of each tap, or its position among those of its RoI in ``lines``.
        weight (array): Weight of each tap; those of a bin sum to 1 where all its samples are in the map.
        lines (array): int64, the distinct rows (or columns) of each RoI, ascending; only where there are positions.
        starts (array): int64, (R',), where the taps, and the lines, of each RoI begin.
        n_lines (array): int64, (R',), how many lines it has.
    """

    ends: Array
    line: Array
    weight: Array
    lines: Array
    starts: Array
    n_lines: Array


def sample_taps(grid: SampleGrid, outsize: Size, map_shape: Size, *, by_position: bool = False) -> tuple[Taps, Taps]:
    """List the taps of all RoIs once, for all channels.

    Args:
        grid (geometry.SampleGrid): The samples.
        outsize ((int, int)): Rows and columns of bins.
        map_shape ((int, int)): Height and width of the map.
        by_position (bool): Whether taps of columns have their positions in ``lines``.

    Returns:
        tuple: ``Taps`` of rows and of columns.
    """
    axes = [_allocate(grid, axis, outsize[axis], map_shape[axis]) for axis in (0, 1)]
    threads.run(_list_taps, [(grid, k, map_shape[k], bool(k and by_position), taps) for k, taps in enumerate(axes)])
    return axes[0], axes[1]


def pixel_taps(windows: Windows, dtype: np.dtype) -> tuple[Taps, Taps]:
    """List the rows and columns of windows, all of weight 1.

    Args:
        windows (geometry.Windows): The bins of each RoI.
        dtype (dtype): Of the weights.

    Returns:
        tuple: ``Taps`` of rows and of columns.
    """
    rows, columns = (_count_up(bounds, dtype) for bounds in windows)
    return rows, columns


def _count_up(bounds, dtype):
    """Make ``Taps`` of (R', bins, 2) ranges of lines."""
    begins, counts = bounds[..., 0].ravel(), np.maximum(bounds[..., 1] - bounds[..., 0], 0).ravel()
    ends = np.cumsum(counts)
    line = np.repeat(begins - (ends - counts), counts) + np.arange(counts.sum())
    unused = np.zeros(len(bounds), np.int64)
    both = np.stack([ends - counts, ends], axis=1).reshape(bounds.shape)
    return Taps(both, line, np.ones(len(line), dtype), line, unused, unused)


def _allocate(grid, axis, n_bins, extent):
    """Make ``Taps`` with room for what the RoIs need on ``extent`` lines."""
    n = len(grid.n)
    ends = np.concatenate([[0], np.cumsum(n_bins * np.minimum(2 + 2 * grid.n[:, axis], extent + 1))])
    line, lines = np.empty((2, ends[-1]), np.int64)
    weight = np.empty(ends[-1], grid.start.dtype)
    return Taps(np.empty((n, n_bins, 2), np.int64), line, weight, lines, ends[:-1], np.zeros(n, np.int64))


@exact
def _list_taps(grid, axis, extent, by_position, taps):
    """Fill ``taps``, see :class:`Taps`."""
    ends, line, weight, lines, starts, n_lines = taps
    n_bins = ends.shape[1]
    for r in range(ends.shape[0]):
        start, size, count = grid.start[r, axis], grid.size[r, axis], grid.n[r, axis]
        n = starts[r]
        for k in range(n_bins):
            b = k if size >= 0 else n_bins - 1 - k
            begin = n
            n = bin_taps(start, size, count, b, extent, line, weight, n)
            ends[r, b, 0], ends[r, b, 1] = begin, n
            if by_position:
                n_lines[r] = _number(line, begin, n, lines, starts[r], n_lines[r])


@inner_exact
def _number(line, begin, end, lines, start, n_lines):
    """Turn the lines of taps into positions in ``lines[start:]``, where new ones are added; return their number."""
    for tap in range(begin, end):
        place = n_lines
        while place > 0 and lines[start + place - 1] >= line[tap]:
            place -= 1
        if place == n_lines:
            lines[start + n_lines] = line[tap]
            n_lines += 1
        line[tap] = place
    return n_lines


@inner_exact
def bin_taps(start, size, count, b, extent, line, weight, n):
    """Append the taps of a bin to ``line`` and ``weight`` after the first ``n``, ascending.

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
        begin = np.int64(smaller(larger((-one - base) / step - 2, 0.0), np.float64(count)))
        end = np.int64(smaller(larger((number(extent) - base) / step + 2, 0.0), np.float64(count)))
    for q in range(begin, end):
        i = q if size >= 0 else begin + end - 1 - q
        at = base + (number(i) + half) * size / number(count)
        if at < -one or at > number(extent):
            continue
        at = larger(at, number(0))
        low = np.int64(at)
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
