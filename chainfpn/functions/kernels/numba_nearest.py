"""Resizing by the nearest pixel, compiled, shared out to threads."""

import math

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import for_compiled, threads
from chainfpn.functions.kernels.numba_common import copy, exact

#: Bytes of a result that are a share of the work.
SHARE_BYTES = 1 << 20


def resize(x: Array, rows: Array, columns: Array) -> Array:
    """Copy ``x[:, :, rows][..., columns]``: (B, C, H, W), float32 or float64, with two vectors of int64."""
    y = np.empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    n_planes = math.prod(x.shape[:2])
    source = for_compiled(x).reshape(n_planes, *x.shape[2:])
    arrays = source, rows, columns, y.reshape(n_planes, *y.shape[2:])
    threads.run(_copy, [(*arrays, *planes) for planes in threads.cut(n_planes, y.nbytes / SHARE_BYTES)])
    return y


def add(gy: Array, rows: Array, columns: Array, size: Size) -> Array:
    """Add each pixel to the one it was copied from: the transpose of :func:`resize`.

    Args:
        gy (array): float32 or float64, (B, C, rows, columns).
        rows, columns (array): int64, rising.
        size ((int, int)): H and W.

    Returns:
        array: dtype of gy, (B, C, H, W).
    """
    gx = np.empty((*gy.shape[:2], *size), gy.dtype)
    n_planes = math.prod(gy.shape[:2])
    given = for_compiled(gy).reshape(n_planes, *gy.shape[2:])
    arrays = given, rows, columns, gx.reshape(n_planes, *size)
    threads.run(_add, [(*arrays, *planes) for planes in threads.cut(n_planes, gy.nbytes / SHARE_BYTES)])
    return gx


@exact
def _add(gy, rows, columns, gx, begin, end):
    """Add planes up: (planes, rows, columns) to (planes, H, W)."""
    line = np.empty(len(columns), gy.dtype)
    for plane in range(begin, end):
        i = 0
        for y in range(gx.shape[1]):
            out = gx[plane, y]
            line[:], out[:] = 0, 0
            while i < len(rows) and rows[i] == y:
                given = gy[plane, i]
                for j in range(line.size):
                    line[j] += given[j]
                i += 1
            for j in range(line.size):
                out[columns[j]] += line[j]


@exact
def _copy(x, rows, columns, y, begin, end):
    """Copy planes: (planes, H, W) to (planes, rows, columns)."""
    for plane in range(begin, end):
        for i in range(len(rows)):
            line, out = x[plane, rows[i]], y[plane, i]
            if i and rows[i] == rows[i - 1]:
                above = y[plane, i - 1]
                copy(above, out)
            else:
                for j in range(len(columns)):
                    out[j] = line[columns[j]]
