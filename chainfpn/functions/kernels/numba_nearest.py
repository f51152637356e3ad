"""Resizing by the nearest pixel, compiled, shared out to threads."""

import math

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import threads
from chainfpn.functions.kernels.numba_common import copy, exact

#: Bytes of a result that are a share of the work.
SHARE_BYTES = 1 << 20


def resize(x: Array, rows: Array, columns: Array) -> Array:
    """Copy ``x[:, :, rows][..., columns]``: (B, C, H, W), float32 or float64, with two vectors of int64."""
    y = np.empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    n_planes = math.prod(x.shape[:2])
    source = np.ascontiguousarray(x).reshape(n_planes, *x.shape[2:])
    arrays = source, rows, columns, y.reshape(n_planes, *y.shape[2:])
    threads.run(_copy, [(*arrays, *planes) for planes in threads.cut(n_planes, y.nbytes / SHARE_BYTES)])
    return y


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
