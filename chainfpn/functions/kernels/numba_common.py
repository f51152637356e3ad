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
ZERO, STEP, ALL = np.int64(0), np.int64(LANES), np.uint64(LANES)


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
def pack(x, first, window, buffer):
    """Copy ``x[first:first + LANES]`` (channel, row, column) within the window to a buffer (row, column, lane).

    Four channels at a time: half the time of one.
    """
    y0, y1, x0, x1 = window
    n_lanes, n_columns = min(LANES, x.shape[0] - first), np.uint64(x1 - x0)
    if n_lanes < LANES:
        buffer[: (y1 - y0) * (x1 - x0) * LANES] = 0
    for y in range(y0, y1):
        for lane in range(0, n_lanes - n_lanes % 4, 4):
            c = first + lane
            a0, a1, a2, a3 = x[c, y, x0:x1], x[c + 1, y, x0:x1], x[c + 2, y, x0:x1], x[c + 3, y, x0:x1]
            at = np.uint64((y - y0) * (x1 - x0) * LANES + lane)
            for k in range(n_columns):
                to = at + np.uint64(LANES) * np.uint64(k)
                buffer[to], buffer[to + np.uint64(1)] = a0[k], a1[k]
                buffer[to + np.uint64(2)], buffer[to + np.uint64(3)] = a2[k], a3[k]
        for lane in range(n_lanes - n_lanes % 4, n_lanes):
            row, at = x[first + lane, y, x0:x1], np.uint64((y - y0) * (x1 - x0) * LANES + lane)
            for k in range(n_columns):
                buffer[at + np.uint64(LANES) * np.uint64(k)] = row[k]


@inner_exact
def unpack(buffer, window, first, x):
    """Fill ``x[first:first + LANES]`` from the buffer within the window, with zeros outside it."""
    y0, y1, x0, x1 = window
    n_lanes, n_columns = min(LANES, x.shape[0] - first), np.uint64(x1 - x0)
    for plane in x[first : first + n_lanes]:
        plane[:y0], plane[y1:], plane[y0:y1, :x0], plane[y0:y1, x1:] = 0, 0, 0, 0
    for y in range(y0, y1):
        for lane in range(0, n_lanes - n_lanes % 4, 4):
            c = first + lane
            a0, a1, a2, a3 = x[c, y, x0:x1], x[c + 1, y, x0:x1], x[c + 2, y, x0:x1], x[c + 3, y, x0:x1]
            at = np.uint64((y - y0) * (x1 - x0) * LANES + lane)
            for k in range(n_columns):
                to = at + np.uint64(LANES) * np.uint64(k)
                a0[k], a1[k], a2[k], a3[k] = (
                    buffer[to],
                    buffer[to + np.uint64(1)],
                    buffer[to + np.uint64(2)],
                    buffer[to + np.uint64(3)],
                )
        for lane in range(n_lanes - n_lanes % 4, n_lanes):
            row, at = x[first + lane, y, x0:x1], np.uint64((y - y0) * (x1 - x0) * LANES + lane)
            for k in range(n_columns):
                row[k] = buffer[at + np.uint64(LANES) * np.uint64(k)]


@inner_exact
def unpack_bins(cells, y, first):
    """Write ``cells`` (bin, lane) to as many of ``y[first:first + LANES]`` (channel, bin) as there are."""
    for lane in range(min(LANES, y.shape[0] - first)):
        row = y[first + lane]
        for b in range(row.size):
            row[b] = cells[b * LANES + lane]


@inner_arithmetic
def weighted_sum(source, at, lines, step, weights, begin, end, out, first, n):
    """Set ``out[first:][:n]`` to the sum of ``weights[k] * source[at + step * lines[k]:][:n]`` over k in [begin, end).

    Unsigned indices, no slices: a sixth of their time.
    """
    target = np.uint64(first)
    for k in range(n):
        out[target + k] = 0
    whole = end - (end - begin) % 4
    for tap in range(begin, whole, 4):
        w0, w1, w2, w3 = weights[tap], weights[tap + 1], weights[tap + 2], weights[tap + 3]
        at0, at1 = np.uint64(at + step * lines[tap]), np.uint64(at + step * lines[tap + 1])
        at2, at3 = np.uint64(at + step * lines[tap + 2]), np.uint64(at + step * lines[tap + 3])
        for k in range(n):
            pair0, pair1 = w0 * source[at0 + k] + w1 * source[at1 + k], w2 * source[at2 + k] + w3 * source[at3 + k]
            out[target + k] += pair0 + pair1
    for tap in range(whole, end):
        here, w = np.uint64(at + step * lines[tap]), weights[tap]
        for k in range(n):
            out[target + k] += w * source[here + k]


@inner_arithmetic
def spread(source, first, lines, step, weights, begin, end, out, at, n):
    """Add ``weights[k] * source[first:][:n]`` to ``out[at + step * lines[k]:][:n]`` for k in [begin, end)."""
    here = np.uint64(first)
    for tap in range(begin, end):
        target, w = np.uint64(at + step * lines[tap]), weights[tap]
        for k in range(n):
            out[target + k] += w * source[here + k]
