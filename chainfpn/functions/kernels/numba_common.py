"""Pieces shared by the compiled CPU kernels.

A kernel works on one image and one block of ``LANES`` channels: the part of the map that the RoIs touch is copied to a
buffer (row, column, lane) that stays in the cache, where the channels of a pixel are one vector. Numba caches kernels,
keyed by the file of the kernel: touch those files after a change here.
"""

from typing import NamedTuple

import numba
import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels.numba_lanes import LANES, transpose

#: For arguments of kernels: a plain 0 is a type of its own to Numba, for which it compiles the callee once more.
ZERO = np.int64(0)


class Workspace(NamedTuple):
    """What a thread keeps for itself.

    Attributes:
        buffer (array): The window of a block of channels, see above.
        line (array): As many vectors as the map has columns.
        cells (array): A vector for each bin.
        line_places, places (array): int32, for each number of ``line`` and of ``cells`` a pixel of the map.
    """

    buffer: Array
    line: Array
    cells: Array
    line_places: Array
    places: Array


def _can_cache():
    """Return whether Numba finds a folder to keep compiled kernels in: beside them, or the user's cache."""
    try:
        numba.njit(cache=True)(_can_cache)
    except RuntimeError:
        return False
    return True


_OPTIONS = {"nogil": True, "cache": _can_cache(), "error_model": "numpy", "no_cfunc_wrapper": True}

#: Sums may be reordered and fused; NaN and infinity keep their meaning.
arithmetic = numba.njit(**_OPTIONS, fastmath={"contract", "reassoc", "nsz"})

#: Exactly the operations that are written: for geometry, where a last bit moves a sample over a border. (Left out, the
#: option would be inherited from the calling kernel.)
exact = numba.njit(**_OPTIONS, fastmath=False)

#: The same for what only other kernels call: without the code that Python would call it by, half is compiled.
_INNER = {**_OPTIONS, "no_cpython_wrapper": True}
inner_arithmetic = numba.njit(**_INNER, fastmath={"contract", "reassoc", "nsz"})
inner_exact = numba.njit(**_INNER, fastmath=False)


@inner_exact
def copy(source, target):
    """Copy a line: for ``target[:] = source`` Numba compiles what formats an error, for two seconds."""
    for k in range(target.size):
        target[k] = source[k]


@inner_exact
def copy_transposed(source, at, step, n_lines, n, target, to, to_step):
    """Set ``target[to + j * to_step + i]`` to ``source[at + i * step + j]`` for i below ``n_lines`` and j below n."""
    if n_lines >= LANES and n >= LANES:
        for i in range(0, n_lines, LANES):
            for j in range(0, n, LANES):
                line, place = min(i, n_lines - LANES), min(j, n - LANES)  # the last ones overlap those before
                transpose(source, at + line * step + place, step, target, to + place * to_step + line, to_step)
        return
    for i in range(n_lines):
        for j in range(n):
            target[to + j * to_step + i] = source[at + i * step + j]


@inner_exact
def pack(x, first, window, buffer):
    """Copy ``x[first:first + LANES]`` (channel, row, column) within the window to a buffer (row, column, lane)."""
    y0, y1, x0, x1 = window
    n_lanes, n_pixels = min(LANES, x.shape[0] - first), (y1 - y0) * (x1 - x0)
    plane, flat = x.shape[1] * x.shape[2], x.ravel()
    if n_lanes < LANES:
        buffer[: n_pixels * LANES] = 0
    for y in range(y0, y1):
        at, to = first * plane + y * x.shape[2] + x0, (y - y0) * (x1 - x0) * LANES
        copy_transposed(flat, at, plane, n_lanes, x1 - x0, buffer, to, LANES)


@inner_exact
def unpack(buffer, window, first, x):
    """Fill ``x[first:first + LANES]`` from the buffer within the window, with zeros outside it."""
    y0, y1, x0, x1 = window
    n_lanes = min(LANES, x.shape[0] - first)
    plane, flat = x.shape[1] * x.shape[2], x.ravel()
    for outside in x[first : first + n_lanes]:
        outside[:y0], outside[y1:], outside[y0:y1, :x0], outside[y0:y1, x1:] = 0, 0, 0, 0
    for y in range(y0, y1):
        at, to = (y - y0) * (x1 - x0) * LANES, first * plane + y * x.shape[2] + x0
        copy_transposed(buffer, at, LANES, x1 - x0, n_lanes, flat, to, plane)


@inner_exact
def unpack_bins(cells, r, first, y):
    """Write ``cells`` (bin, lane) to as many of ``y[r, first:first + LANES]`` (channel, bin) as there are."""
    n_channels, n_bins = y.shape[1:]
    at = (r * n_channels + first) * n_bins
    copy_transposed(cells, 0, LANES, n_bins, min(LANES, n_channels - first), y.ravel(), at, n_bins)
