"""Adaptive pooling: a map of any size to a fixed grid."""

import numpy as np
from chainer import backend

from chainfpn._typing import Size, Variable
from chainfpn.functions._arguments import check_map, check_outsize
from chainfpn.functions._linear_map import separable_map
from chainfpn.functions._max_map import MaxMap
from chainfpn.functions.kernels import geometry, kernels_for


def adaptive_max_pool_2d(x: Variable, outsize: int | Size) -> Variable:
    """Pool a map of any size to a fixed grid by maximum.

    Row i of n covers the pixels floor(i H / n) to ceil((i + 1) H / n); columns likewise. Among equal pixels the first
    in row order gets the gradient. A NaN is never the maximum.

    Args:
        x (Variable): float16/32/64, (B, C, H, W).
        outsize (int or pair of ints): Rows and columns of bins.

    Returns:
        Variable: dtype of x, (B, C, outh, outw).

    Raises:
        TypeError: if x is no float array.
        ValueError: if x is not (B, C, H, W), or ``outsize`` not positive.

    Source:
        He et al. 2014 (spatial pyramid pooling), section 2.2; PyTorch ``adaptive_max_pool2d``.

    Example:
        >>> x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
        >>> adaptive_max_pool_2d(x, 2).array
        array([[[[4., 5.],
                 [7., 8.]]]], dtype=float32)
    """
    check_map("adaptive_max_pool_2d", x)
    outsize = check_outsize("adaptive_max_pool_2d", outsize)
    images = backend.get_array_module(x).arange(len(x), dtype=np.int32)
    node = MaxMap("adaptive_max_pool_2d", lambda x: kernels_for(x).adaptive_max_forward(x, outsize), images)
    return node.apply((x,))[0]


def adaptive_avg_pool_2d(x: Variable, outsize: int | Size) -> Variable:
    """Pool a map of any size to a fixed grid by the mean.

    Row i of n covers the pixels floor(i H / n) to ceil((i + 1) H / n); columns likewise.

    Args:
        x (Variable): float16/32/64, (B, C, H, W).
        outsize (int or pair of ints): Rows and columns of bins.

    Returns:
        Variable: dtype of x, (B, C, outh, outw). float16 is computed in float32.

    Raises:
        TypeError: if x is no float array.
        ValueError: if x is not (B, C, H, W), or ``outsize`` not positive.

    Source:
        PyTorch ``adaptive_avg_pool2d``.

    Example:
        >>> x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
        >>> adaptive_avg_pool_2d(x, 2).array
        array([[[[2., 3.],
                 [5., 6.]]]], dtype=float32)
    """
    check_map("adaptive_avg_pool_2d", x)
    outsize = check_outsize("adaptive_avg_pool_2d", outsize)
    windows = geometry.adaptive_windows(1, outsize, x.shape[2:])
    matrices = [_mean_matrix(bounds[0], extent) for bounds, extent in zip(windows, x.shape[2:], strict=True)]
    return separable_map("adaptive_avg_pool_2d", x, lambda: matrices)


def _mean_matrix(bounds, extent):
    """(bins, extent): the mean over each window."""
    at = np.arange(extent)
    inside = (at >= bounds[:, :1]) & (at < bounds[:, 1:])
    return inside / inside.sum(axis=1, keepdims=True)
