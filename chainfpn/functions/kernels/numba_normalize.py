"""Normalization by fixed statistics with the sum and the ReLU behind it, compiled: one pass, shared out to threads."""

import itertools
import math

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import threads
from chainfpn.functions.kernels.numba_common import exact, inner_exact

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
    pixels = 0, shape[2]
    threads.run(normalize, [(flat[0][k], flat[1][k], *given, out[k], channels, pixels) for k, channels in shares])
    return y


@exact
def normalize(x, residual, centre, scale, shift, add, relu, y, channels, pixels):
    """Normalize some pixels of some channels, (C, pixels); x, residual and y may be one array."""
    begin, end = pixels
    for c in range(*channels):
        normalize_line(
            x[c, begin:end], residual[c, begin:end], centre[c], scale[c], shift[c], add, relu, y[c, begin:end]
        )


@inner_exact
def normalize_line(line, other, mean, factor, offset, add, relu, out):
    """Normalize pixels of a channel."""
    least = line.dtype.type(0 if relu else -np.inf)
    if add:
        for k in range(line.size):
            value = (line[k] - mean) * factor + offset + other[k]
            out[k] = least if value < least else value
    else:
        for k in range(line.size):
            value = (line[k] - mean) * factor + offset
            out[k] = least if value < least else value
