"""Normalize, resize bilinearly and pad an image in one pass, compiled, shared out to threads."""

import itertools
from functools import partial

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import for_compiled, threads
from chainfpn.functions.kernels.numba_common import exact, inner_exact

#: Bytes of a result that are a share of the work.
SHARE_BYTES = 1 << 19


def prepare(img: Array, mean: Array, std: Array, rows: tuple, columns: tuple, out: Array) -> None:
    """Write ((img / 255 - mean) / std) resized, and zeros beside it, to ``out``; the operations are those of NumPy.

    Args:
        img (array): uint8 or dtype of out, (3, H, W).
        mean, std (array): dtype of out, (3,).
        rows, columns (tuple of array): Of each row and column of the resized image the lower source and the upper,
            which is the same or the next, int64, and the weight of the upper.
        out (array): float32 or float64, (3, H', W').
    """
    img = for_compiled(img)
    shares = threads.cut(out.shape[1], out[0].nbytes / SHARE_BYTES)
    tasks = itertools.product(range(len(out)), shares)
    lines = partial(_lines, img.shape[2], len(columns[0]), out.dtype)
    given = np.stack(rows[:2]), rows[2], columns
    threads.run(_prepare, [(img[c], mean[c], std[c], *given, out[c], *share) for c, share in tasks], lines)


def _lines(width, n_columns, dtype):
    """Make what a thread keeps: a row of the image, normalized, an even row and an odd one resized, and which."""
    return np.empty(width, dtype), np.empty((2, n_columns), dtype), np.empty(2, np.int64)


@exact
def _prepare(own, plane, mean, std, sources, upper, columns, out, begin, end):
    """Prepare some rows of a channel: (H, W) to (H', W')."""
    normal, lines, held = own
    held[0] = held[1] = -1
    for i in range(begin, end):
        line, n = out[i], 0
        if i < upper.size:
            for k in range(2):
                row = sources[k, i]
                if held[row & 1] != row:
                    _resize(plane[row], mean, std, columns, normal, lines[row & 1])
                    held[row & 1] = row
            low, high, n = lines[sources[0, i] & 1], lines[sources[1, i] & 1], lines.shape[1]
            weight, rest = upper[i], normal.dtype.type(1) - upper[i]
            for j in range(n):
                line[j] = low[j] * rest + high[j] * weight
        for j in range(n, line.size):
            line[j] = 0


@inner_exact
def _resize(row, mean, std, columns, normal, out):
    """Normalize a row of the image, and resize it."""
    number = normal.dtype.type
    for j in range(len(row)):
        normal[j] = (number(row[j]) / number(255) - mean) / std
    low, high, upper = columns
    for j in range(len(out)):
        out[j] = normal[low[j]] * (number(1) - upper[j]) + normal[high[j]] * upper[j]
