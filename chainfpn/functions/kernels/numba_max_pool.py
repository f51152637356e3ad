"""Maxima of the windows of a map for the CPU, compiled, shared out to threads."""

import math

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import for_compiled, threads
from chainfpn.functions.kernels.numba_common import exact, inner_exact, larger, smaller

#: Bytes of a map that are a share of the work.
SHARE_BYTES = 1 << 20


def forward(x: Array, ksize: int, stride: int, pad: int, outsize: Size) -> Array:
    """Take the maximum of every window; a NaN is the maximum of all that it is in.

    Args:
        x (array): float32 or float64, (B, C, H, W).
        ksize, stride, pad (int): For both axes.
        outsize ((int, int)): Rows and columns of windows.

    Returns:
        array: dtype of x, (B, C, *outsize).
    """
    y = np.empty((*x.shape[:2], *outsize), x.dtype)
    n_planes = math.prod(x.shape[:2])
    planes = for_compiled(x).reshape(n_planes, *x.shape[2:]), y.reshape(n_planes, *outsize)
    shares = threads.cut(n_planes, x.nbytes / SHARE_BYTES)
    length = max((outsize[1] - 1) * stride + ksize, pad + x.shape[3])
    tasks = [(*planes, ksize, stride, pad, *share) for share in shares]
    threads.run(_forward, tasks, lambda: np.full(length, -np.inf, x.dtype))
    return y


@inner_exact
def _larger(a, b):
    return a if a >= b or a != a else b


@exact
def _forward(line, x, y, ksize, stride, pad, begin, end):
    """Pool planes: (planes, H, W) to (planes, outh, outw); first the rows of a window, then its columns."""
    _, height, width = x.shape
    lowest = x.dtype.type(-np.inf)
    inside = line[pad : pad + width]
    for plane in range(begin, end):
        for i in range(y.shape[1]):
            for k in range(width):
                inside[k] = lowest
            for row in range(larger(i * stride - pad, 0), smaller(i * stride - pad + ksize, height)):
                source = x[plane, row]
                for k in range(width):
                    inside[k] = _larger(inside[k], source[k])
            out = y[plane, i]
            for j in range(y.shape[2]):
                out[j] = line[j * stride]
            for tap in range(1, ksize):
                shifted = line[tap:]
                for j in range(y.shape[2]):
                    out[j] = _larger(out[j], shifted[j * stride])
