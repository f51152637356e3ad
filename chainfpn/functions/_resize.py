"""Resizing of maps to any size."""

import numpy as np
from chainer import backend

from chainfpn._typing import Size, Variable
from chainfpn.functions._arguments import check_map, check_outsize
from chainfpn.functions._linear_map import separable_map
from chainfpn.functions.kernels import compute_dtype


def resize_nearest(x: Variable, size: int | Size) -> Variable:
    """Resize a map to any size; output pixel i copies input pixel floor(i * in / out).

    Args:
        x (Variable): float16/32/64, (B, C, H, W).
        size (int or pair of ints): Rows and columns of the result.

    Returns:
        Variable: dtype of x, (B, C, *size).

    Raises:
        TypeError: if x is no float array.
        ValueError: if x is not (B, C, H, W), or ``size`` not positive.

    Source:
        PyTorch ``interpolate(mode="nearest")``, which computes in / out in float32.

    Example:
        >>> x = np.array([[[[1.0, 2.0]]]], np.float32)
        >>> resize_nearest(x, (1, 4)).array
        array([[[[1., 1., 2., 2.]]]], dtype=float32)
    """
    check_map("resize_nearest", x)
    size = check_outsize("resize_nearest", size, "size")
    height, width = x.shape[2:]
    rows, columns = _nearest(size[0], height), _nearest(size[1], width)

    def copy(x):
        xp = backend.get_array_module(x)
        return x.take(xp.asarray(columns), axis=3).take(xp.asarray(rows), axis=2)  # whole rows last: they copy faster

    def matrices():
        return rows[:, None] == np.arange(height), columns[:, None] == np.arange(width)

    return separable_map("resize_nearest", x, matrices, forward=copy)


def _nearest(n_out, n_in):
    """Return the input pixel of each output pixel."""
    scale = np.float32(n_in) / np.float32(n_out)
    at = np.floor(np.arange(n_out, dtype=np.float32) * scale).astype(np.int64)
    return np.minimum(at, n_in - 1)


def resize_bilinear(x: Variable, size: int | Size, *, align_corners: bool = False) -> Variable:
    """Resize a map to any size by bilinear interpolation, without antialiasing.

    Args:
        x (Variable): float16/32/64, (B, C, H, W).
        size (int or pair of ints): Rows and columns of the result.
        align_corners (bool): Whether the centres of the corner pixels are aligned; otherwise their outer corners are.

    Returns:
        Variable: dtype of x, (B, C, *size). float16 is computed in float32.

    Raises:
        TypeError: if x is no float array.
        ValueError: if x is not (B, C, H, W), or ``size`` not positive.

    Source:
        PyTorch ``interpolate(mode="bilinear")``.

    Example:
        >>> x = np.array([[[[0.0, 4.0]]]], np.float32)
        >>> resize_bilinear(x, (1, 4)).array
        array([[[[0., 1., 3., 4.]]]], dtype=float32)
        >>> resize_bilinear(x, (1, 3), align_corners=True).array
        array([[[[0., 2., 4.]]]], dtype=float32)
    """
    check_map("resize_bilinear", x)
    size = check_outsize("resize_bilinear", size, "size")
    dtype = compute_dtype(x.dtype)
    sides = x.shape[2:]
    axes = [_sources(n_out, n_in, align_corners, dtype) for n_out, n_in in zip(size, sides, strict=True)]

    def interpolate(x):
        y = x.astype(dtype, copy=False)
        for axis, taps in zip((3, 2), reversed(axes), strict=True):
            y = _interpolate(y, axis, *taps)
        return y.astype(x.dtype, copy=False)

    def matrices():
        return [_matrix(*taps, n_in) for taps, n_in in zip(axes, sides, strict=True)]

    return separable_map("resize_bilinear", x, matrices, forward=interpolate)


def _sources(n_out, n_in, align_corners, dtype):
    """Lower and upper input pixel of each output pixel, and the weight of the upper."""
    out = np.arange(n_out, dtype=dtype)
    if align_corners:
        at = out * (dtype.type(n_in - 1) / dtype.type(max(n_out - 1, 1)))
    else:
        at = np.maximum((out + dtype.type(0.5)) * (dtype.type(n_in) / dtype.type(n_out)) - dtype.type(0.5), 0)
    low = np.minimum(at.astype(np.int64), n_in - 1)
    return low, np.minimum(low + 1, n_in - 1), at - low.astype(dtype)


def _interpolate(x, axis, low, high, upper):
    xp = backend.get_array_module(x)
    upper = xp.asarray(upper).reshape((-1,) + (1,) * (3 - axis))
    below, above = x.take(xp.asarray(low), axis=axis), x.take(xp.asarray(high), axis=axis)
    below *= 1 - upper
    above *= upper
    below += above
    return below


def _matrix(low, high, upper, n_in):
    matrix = np.zeros((len(low), n_in), upper.dtype)
    out = np.arange(len(low))
    matrix[out, low] = 1 - upper
    matrix[out, high] += upper
    return matrix
