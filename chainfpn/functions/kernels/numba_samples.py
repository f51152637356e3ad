"""Bilinear samples as short weighted sums of rows and columns, for the compiled CPU kernels.

Bilinear interpolation is separable: a bin is the sum over rows of the sum over columns. A *tap* is one row (or column)
with its weight; samples of a bin that share a row share its tap.
"""

import numpy as np

from chainfpn.functions.kernels.numba_common import exact


@exact
def bin_taps(start, size, count, b, extent, index, weight, n):
    """Append the taps of bin ``b`` to ``index`` and ``weight`` behind the first ``n``, in rising order.

    Args:
        start, size, count: The axis of a RoI, see ``geometry.SampleGrid``.
        b (int): The bin.
        extent (int): Rows (or columns) of the map.
        index, weight (array): Filled from ``n`` on; weights of a bin sum to 1 where all its samples are in the map.
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
        n = _add_tap(index, weight, first, n, low, (one - upper) / number(count))
        if low < extent - 1:
            n = _add_tap(index, weight, first, n, low + 1, upper / number(count))
    return n


@exact
def _add_tap(index, weight, first, n, at, w):
    for back in range(1, 3):
        if n - back >= first and index[n - back] == at:
            weight[n - back] += w
            return n
    index[n] = at
    weight[n] = w
    return n + 1


@exact
def tap_room(n_bins, extent, start, count, members):
    """Allocate what ``axis_taps`` fills, enough for any of the members.

    Args:
        n_bins (int): Bins of the axis.
        extent (int): Rows (or columns) of the map.
        start, count (array): See ``geometry.SampleGrid``.
        members (array): int64, RoIs.

    Returns:
        tuple: ``ends``, ``index``, ``weight``, ``lines``.
    """
    most = 0
    for r in members:
        most = max(most, count[r, 0], count[r, 1])
    n = n_bins * min(2 + 2 * most, extent + 1)
    return np.empty((n_bins, 2), np.int64), np.empty(n, np.int64), np.empty(n, start.dtype), np.empty(n, np.int64)


@exact
def axis_taps(start, size, count, extent, ends, index, weight, lines):
    """List the taps of all bins of one axis of a RoI, numbered by the lines they need.

    Args:
        start, size, count: The axis of a RoI, see ``geometry.SampleGrid``.
        extent (int): Rows (or columns) of the map.
        ends (array): int64, (bins, 2), receives the range of taps of each bin.
        index, weight (array): Receive the taps: position in ``lines``, and weight.
        lines (array): int64, receives the distinct rows (or columns), rising.

    Returns:
        int: Number of lines.
    """
    n_bins = ends.shape[0]
    n, n_lines = 0, 0
    for k in range(n_bins):
        b = k if size >= 0 else n_bins - 1 - k
        begin = n
        n = bin_taps(start, size, count, b, extent, index, weight, n)
        ends[b, 0], ends[b, 1] = begin, n
        for tap in range(begin, n):
            at = index[tap]
            place = n_lines
            while place > 0 and lines[place - 1] >= at:
                place -= 1
            if place == n_lines:
                lines[n_lines] = at
                n_lines += 1
            index[tap] = place
    return n_lines


@exact
def find_runs(lines, n_lines, begins):
    """Cut ``lines[:n_lines]`` into runs of neighbours; ``begins`` receives their first positions and the end.

    Returns:
        int: Number of runs.
    """
    n_runs = 0
    for k in range(n_lines):
        if k == 0 or lines[k] != lines[k - 1] + 1:
            begins[n_runs] = k
            n_runs += 1
    begins[n_runs] = n_lines
    return n_runs
