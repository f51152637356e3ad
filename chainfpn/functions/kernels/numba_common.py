"""Pieces shared by the compiled CPU kernels.

A kernel works on one image and one block of ``LANES`` channels: the part of the map that the RoIs touch is copied to a
buffer (row, column, lane) that stays in the cache, so that every inner loop runs over neighbouring channels and
becomes SIMD. Numba caches the kernels on disk, keyed by the file of the kernel: touch those files after a change here.
"""

import numba
import numpy as np

#: Channels handled together: the fastest of 16, 32 and 64 for roi_align on an AMD Zen 4 (AVX-512).
LANES = 32

#: For arguments of kernels: a plain 0 is a type of its own to Numba, for which it compiles the callee once more.
ZERO, ONE, ALL = np.int64(0), np.int64(1), np.uint64(LANES)


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
def pack(x, first, window):
    """Copy ``x[first:first + LANES]`` (channel, row, column) within the window to a buffer (row, column, lane)."""
    y0, y1, x0, x1 = window
    n_lanes = min(LANES, x.shape[0] - first)
    buffer = np.empty((y1 - y0) * (x1 - x0) * LANES, x.dtype)
    if n_lanes < LANES:
        buffer[:] = 0
    for y in range(y1 - y0):
        line = buffer[y * (x1 - x0) * LANES : (y + 1) * (x1 - x0) * LANES]
        for begin in range(0, x1 - x0, 16):
            end = min(begin + 16, x1 - x0)
            for lane in range(n_lanes):
                row = x[first + lane, y0 + y, x0:x1]
                for column in range(begin, end):
                    line[column * LANES + lane] = row[column]
    return buffer


@inner_exact
def unpack(buffer, window, first, x):
    """Fill ``x[first:first + LANES]`` from the buffer within the window, with zeros outside it."""
    y0, y1, x0, x1 = window
    n_lanes = min(LANES, x.shape[0] - first)
    planes = x[first : first + n_lanes]
    for plane in planes:
        plane[:y0], plane[y1:], plane[y0:y1, :x0], plane[y0:y1, x1:] = 0, 0, 0, 0
    for y in range(y1 - y0):
        line = buffer[y * (x1 - x0) * LANES : (y + 1) * (x1 - x0) * LANES]
        for begin in range(0, x1 - x0, 16):
            end = min(begin + 16, x1 - x0)
            for lane in range(n_lanes):
                row = planes[lane, y0 + y, x0:x1]
                for column in range(begin, end):
                    row[column] = line[column * LANES + lane]


@inner_exact
def unpack_bins(cells, y, first):
    """Write ``cells`` (bin, lane) to as many of ``y[first:first + LANES]`` (channel, bin) as there are."""
    for lane in range(min(LANES, y.shape[0] - first)):
        row = y[first + lane]
        for b in range(row.size):
            row[b] = cells[b * LANES + lane]


@inner_arithmetic
def weighted_sum(source, at, offsets, weights, begin, end, out, first, n):
    """Set ``out[first:][:n]`` to the sum of ``weights[k] * source[at + offsets[k]:][:n]`` over k in [begin, end).

    Unsigned indices, one tap at a time, no slices: a sixth of the time of two taps at a time of slices.
    """
    target = np.uint64(first)
    for k in range(n):
        out[target + k] = 0
    for tap in range(begin, end):
        here, w = np.uint64(at + offsets[tap]), weights[tap]
        for k in range(n):
            out[target + k] += w * source[here + k]


@inner_arithmetic
def spread(source, first, offsets, weights, begin, end, out, at, n):
    """Add ``weights[k] * source[first:][:n]`` to ``out[at + offsets[k]:][:n]`` for k in [begin, end)."""
    here = np.uint64(first)
    for tap in range(begin, end):
        target, w = np.uint64(at + offsets[tap]), weights[tap]
        for k in range(n):
            out[target + k] += w * source[here + k]
