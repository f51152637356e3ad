"""Nearest-neighbour resizing."""

import numpy as np
from chainer import backend

from chainfpn._typing import Size, Variable
from chainfpn.functions._arguments import check_map, check_outsize
from chainfpn.functions._separable import separable_map


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
    rows, columns = _sources(size[0], height), _sources(size[1], width)

    def copy(x):
        xp = backend.get_array_module(x)
        return x.take(xp.asarray(columns), axis=3).take(xp.asarray(rows), axis=2)  # whole rows last: they copy faster

    def matrices():
        return rows[:, None] == np.arange(height), columns[:, None] == np.arange(width)

    return separable_map("resize_nearest", x, matrices, forward=copy)


def _sources(n_out, n_in):
    """Input pixel of each output pixel."""
    scale = np.float32(n_in) / np.float32(n_out)
    at = np.floor(np.arange(n_out, dtype=np.float32) * scale).astype(np.int64)
    return np.minimum(at, n_in - 1)
