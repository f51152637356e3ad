"""Normalization by fixed statistics with the sum and the ReLU behind it, compiled: one pass, shared out to threads."""

import itertools
import math

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import for_compiled, threads
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
    flat = [for_compiled(a).reshape(shape) for a in (x, x if residual is None else residual)]
    out = y.reshape(shape)
    shares = itertools.product(range(len(x)), threads.cut(x.shape[1], y.nbytes / max(len(x), 1) / SHARE_BYTES))
    given = centre, scale, shift, residual is not None, relu
    threads.run(normalize, [(flat[0][k], flat[1][k], *given, out[k], channels) for k, channels in shares])
    return y


def backward(gy: Array, y: Array | None, scale: Array | None, with_residual: bool) -> tuple[Array, ...]:
    """Compute gy * (y > 0) * scale, and gy * (y > 0) beside it, where a gradient that y stops is 0 whatever it is.

    Args:
        gy (array): float32 or float64, (B, C, ...).
        y (array or None): Shape and dtype of gy; None stops nothing.
        scale (array or None): dtype of gy, (C,); None is 1, not both.
        with_residual (bool): Whether the second is asked for, too.

    Returns:
        tuple of array: Shape and dtype of gy; one if the second is not asked for.
    """
    gy = for_compiled(gy)
    y = gy if y is None else for_compiled(y)
    gx = np.empty(gy.shape, gy.dtype)
    through = np.empty(gy.shape, gy.dtype) if with_residual and scale is not None and y is not gy else gx
    n_planes, relu, both = math.prod(gy.shape[:2]), y is not gy, through is not gx
    factors = np.ones(gy.shape[1], gy.dtype) if scale is None else scale
    flat = [a.reshape(n_planes, math.prod(gy.shape[2:])) for a in (gy, y, gx, through)]
    shares = threads.cut(n_planes, gy.nbytes / SHARE_BYTES)
    threads.run(_differentiate, [(*flat, factors, relu, both, *planes) for planes in shares])
    if not with_residual:
        return (gx,)
    return gx, (through if relu else gy)


@exact
def _differentiate(gy, y, gx, through, factors, relu, both, begin, end):
    """Differentiate some planes, (images and channels, pixels)."""
    nothing = gy.dtype.type(0)
    for plane in range(begin, end):
        line, result, out, beside = gy[plane], y[plane], gx[plane], through[plane]
        factor = factors[plane % factors.size]
        if not relu:
            for k in range(line.size):
                out[k] = line[k] * factor
        elif not both:
            for k in range(line.size):
                out[k] = (line[k] if result[k] > nothing else nothing) * factor
        else:
            for k in range(line.size):
                value = line[k] if result[k] > nothing else nothing
                beside[k] = value
                out[k] = value * factor


@exact
def normalize_in_place(y, residual, centre, scale, shift, add, relu, channels, pixels):
    """Normalize some pixels of some channels, (C, pixels): SIMD, for the compiler sees one array."""
    begin, end = pixels
    for c in range(*channels):
        line, other = y[c, begin:end], residual[c, begin:end]
        mean, factor, offset = centre[c], scale[c], shift[c]
        least = line.dtype.type(0 if relu else -np.inf)
        if add:
            for k in range(line.size):
                value = (line[k] - mean) * factor + offset + other[k]
                line[k] = least if value < least else value
        else:
            for k in range(line.size):
                value = (line[k] - mean) * factor + offset
                line[k] = least if value < least else value


@exact
def normalize(x, residual, centre, scale, shift, add, relu, y, channels):
    """Normalize some channels, (C, pixels); x and residual may be one array."""
    for c in range(*channels):
        normalize_line(x[c], residual[c], centre[c], scale[c], shift[c], add, relu, y[c])


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
