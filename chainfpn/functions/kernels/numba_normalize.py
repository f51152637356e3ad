"""Normalization by fixed statistics with the sum and the ReLU behind it, compiled: one pass, shared out to threads."""

import itertools
import math

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import threads
from chainfpn.functions.kernels.numba_common import exact

#: Bytes of a map that are a share of the work.
SHARE_BYTES = 1 << 20


def forward(x: Array, residual: Array | None, centre: Array, scale: Array, shift: Array, relu: bool) -> Array:
    """Compute relu((x - centre) * scale + shift + residual), (B, C, ...) with three (C,), to the bits of NumPy's steps.

    Args:
        x (array): float32 or float64.
        residual (array or None): Shape and dtype of x.
        centre, scale, shift (array): dtype of x.
        relu (bool): Whether to rectify.
    """
    y = np.empty(x.shape, x.dtype)
    shape = (*x.shape[:2], math.prod(x.shape[2:]))
    flat = [np.ascontiguousarray(a).reshape(shape) for a in (x, x if residual is None else residual)]
    out = y.reshape(shape)
    shares = itertools.product(range(len(x)), threads.cut(x.shape[1], y.nbytes / max(len(x), 1) / SHARE_BYTES))
    given = centre, scale, shift, residual is not None, relu
    threads.run(_normalize, [(flat[0][k], flat[1][k], *given, out[k], *channels) for k, channels in shares])
    return y


@exact
def _normalize(x, residual, centre, scale, shift, add, relu, y, begin, end):
    """Normalize channels: (C, pixels)."""
    nothing = x.dtype.type(0)
    for c in range(begin, end):
        line, other, out = x[c], residual[c], y[c]
        mean, factor, offset = centre[c], scale[c], shift[c]
        if add and relu:
            for k in range(line.size):
                value = (line[k] - mean) * factor + offset + other[k]
                out[k] = nothing if value < nothing else value
        elif relu:
            for k in range(line.size):
                value = (line[k] - mean) * factor + offset
                out[k] = nothing if value < nothing else value
        elif add:
            for k in range(line.size):
                out[k] = (line[k] - mean) * factor + offset + other[k]
        else:
            for k in range(line.size):
                out[k] = (line[k] - mean) * factor + offset
