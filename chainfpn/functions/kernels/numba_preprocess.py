"""Normalize, resize bilinearly and pad an image in one pass, compiled, shared out to threads."""

import itertools
from functools import partial

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import for_compiled, threads
from chainfpn.functions.kernels.numba_common import copy, exact, inner_exact

#: Bytes of a result that are a share of the work.
SHARE_BYTES = 1 << 19


def prepare(img: Array, mean: Array, std: Array, rows: tuple, columns: tuple, out: Array) -> None:
    """Write ((img / 255 - mean) / std) resized, and zeros beside it, to ``out``; the operations are those of NumPy.

    Args:
        img (array): uint8 or dtype of out, (3, H, W).
        mean, std (array): dtype of out, (3,).
        rows, columns (tuple of array): Of each row and column of the resized image the lower and the upper source,
            int64, and the weight of the upper.
        out (array): float32 or float64, (3, H', W').
    """
    img = for_compiled(img)
    shares = threads.cut(out.shape[1], out[0].nbytes / SHARE_BYTES)
    tasks = itertools.product(range(len(out)), shares)
    lines = partial(_lines, img.shape[2], len(columns[0]), out.dtype)
    threads.run(_prepare, [(img[c], mean[c], std[c], rows, columns, out[c], *share) for c, share in tasks], lines)


def _lines(width, n_columns, dtype):
    """Make what a thread keeps: a row of the image, normalized, two rows resized, and which they are."""
    return np.empty(width, dtype), np.empty((2, n_columns), dtype), np.empty(2, np.int64)


@exact
def _prepare(own, plane, mean, std, rows, columns, out, begin, end):
    """Prepare some rows of a channel: (H, W) to (H', W')."""
    n_rows, n_columns = len(rows[0]), len(columns[0])
    one = out.dtype.type(1)
    normal, lines, held = own
    held[0], held[1] = -1, -1
    for i in range(begin, end):
        line = out[i]
        line[n_columns:] = 0
        if i >= n_rows:
            line[:n_columns] = 0
            continue
        low, high, upper = rows[0][i], rows[1][i], rows[2][i]
        if held[0] != low and held[1] == low:
            copy(lines[1], lines[0])
            held[0] = low
        if held[0] != low:
            _resize(plane[low], mean, std, columns, normal, lines[0])
            held[0] = low
        if held[1] != high:
            _resize(plane[high], mean, std, columns, normal, lines[1])
            held[1] = high
        lower = one - upper
        for j in range(n_columns):
            line[j] = lines[0, j] * lower + lines[1, j] * upper


@inner_exact
def _resize(row, mean, std, columns, normal, out):
    """Normalize a row of the image, and resize it."""
    number = normal.dtype.type
    for j in range(len(row)):
        normal[j] = (number(row[j]) / number(255) - mean) / std
    low, high, upper = columns
    for j in range(len(out)):
        out[j] = normal[low[j]] * (number(1) - upper[j]) + normal[high[j]] * upper[j]
