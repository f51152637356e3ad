"""What networks do to every pixel, compiled: normalize its channels, weigh them, GELU, hard sigmoid and swish."""

import itertools
import math

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import threads
from chainfpn.functions.kernels.normal_cdf import rational_cdf
from chainfpn.functions.kernels.numba_common import arithmetic, exact, inner_arithmetic

#: Pixels that are normalized together: their channels stay in the cache.
PIXELS = 128
#: Numbers of a share of the work.
SHARE = 1 << 16


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """Normalize the channels of every pixel.

    Args:
        x (array): float32 or float64, (B, C, ...), C-contiguous.
        gamma, beta (array): dtype of x, (C,).
        eps (float): Added to the variance.

    Returns:
        array: dtype and shape of x.
    """
    y = np.empty(x.shape, x.dtype)
    flat, out = (a.reshape(*a.shape[:2], math.prod(a.shape[2:])) for a in (x, y))
    n_pixels = flat.shape[2]
    shares = itertools.product(range(len(x)), threads.cut(n_pixels, n_pixels * x.shape[1] / SHARE))
    constants = gamma, beta, x.dtype.type(eps)
    threads.run(_normalize, [(flat[k], *constants, out[k], *pixels) for k, pixels in shares])
    return y


@arithmetic
def _normalize(x, gamma, beta, eps, y, begin, end):
    """Normalize some pixels: (C, pixels)."""
    n_channels = x.shape[0]
    mean, scale = np.empty(PIXELS, x.dtype), np.empty(PIXELS, x.dtype)
    for first in range(begin, end, PIXELS):
        n = min(PIXELS, end - first)
        mean[:], scale[:] = 0, 0
        for c in range(n_channels):
            line = x[c, first : first + n]
            for k in range(n):
                mean[k] += line[k]
        for k in range(n):
            mean[k] /= n_channels
        for c in range(n_channels):
            line = x[c, first : first + n]
            for k in range(n):
                scale[k] += (line[k] - mean[k]) * (line[k] - mean[k])
        for k in range(n):
            scale[k] = 1 / np.sqrt(scale[k] / n_channels + eps)
        for c in range(n_channels):
            line, out, g, b = x[c, first : first + n], y[c, first : first + n], gamma[c], beta[c]
            for k in range(n):
                out[k] = (line[k] - mean[k]) * scale[k] * g + b


def weigh(x: Array, weights: Array) -> Array:
    """Multiply each channel of an image by its weight: (B, C, ...), C-contiguous, by as many as (B, C)."""
    y, n_planes = np.empty(x.shape, x.dtype), weights.size
    shape = n_planes, math.prod(x.shape[2:])
    arrays = x.reshape(shape), weights.reshape(-1), y.reshape(shape)
    threads.run(_weigh, [(*arrays, *planes) for planes in threads.cut(n_planes, x.size / SHARE)])
    return y


@exact
def _weigh(x, weights, y, begin, end):
    for plane in range(begin, end):
        line, out, weight = x[plane], y[plane], weights[plane]
        for k in range(line.size):
            out[k] = line[k] * weight


def hard_gate(x: Array, times_x: bool) -> Array:
    """Compute min(max(x + 3, 0), 6) / 6, the hard sigmoid, times x or not, of a C-contiguous array, to NumPy's bits."""
    number = x.dtype.type
    return _of_each(_hard_gate, x, times_x, number(3), number(6), number(1 / 6))


def _of_each(kernel, x, *constants):
    """Let threads share what a kernel makes of the numbers of a C-contiguous array."""
    y = np.empty(x.shape, x.dtype)
    flat, out, shares = x.reshape(-1), y.reshape(-1), threads.cut(x.size, x.size / SHARE)
    threads.run(kernel, [(flat[begin:end], *constants, out[begin:end]) for begin, end in shares])
    return y


@exact
def _hard_gate(x, times_x, three, six, sixth, y):
    nothing = x.dtype.type(0)
    for k in range(x.size):
        shifted = x[k] + three
        gate = (nothing if shifted < nothing else six if shifted > six else shifted) * sixth
        y[k] = x[k] * gate if times_x else gate


def normal_cdf(x: Array) -> Array:
    """Compute (1 + erf(x / sqrt 2)) / 2 of a C-contiguous array, float32 or float64."""
    return _of_each(_cdf_float32 if x.dtype == np.float32 else _cdf_float64, x)


_rational_cdf = inner_arithmetic(rational_cdf)


@arithmetic
def _cdf_float32(x, y):
    """Compute it within 3e-7."""
    for k in range(x.size):
        y[k] = _rational_cdf(min(max(x[k] * np.float32(0.70710678118), np.float32(-4)), np.float32(4)))


@arithmetic
def _cdf_float64(x, y):
    """Compute it exactly."""
    for k in range(x.size):
        y[k] = 0.5 + 0.5 * math.erf(x[k] * math.sqrt(0.5))
