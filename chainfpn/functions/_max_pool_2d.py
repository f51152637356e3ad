"""Max pooling as in torch, where by default an incomplete window at the end is left out."""

import chainer
import chainer.functions as F
import numpy as np
from chainer.utils.conv import get_conv_outsize

from chainfpn._typing import Variable
from chainfpn.functions.kernels import import_compiled


def max_pool_2d(x: Variable, ksize: int = 3, *, stride: int = 2, pad: int = 0, round_up: bool = False) -> Variable:
    """Take the maximum of every window.

    On the CPU the argmax, which is most of the work, is computed only where a gradient is needed.

    Args:
        x (Variable): float16/32/64, (B, C, H, W).
        ksize (int): Side of a window in pixels.
        stride (int): Step in pixels.
        pad (int): Pixels around the input, which are never the maximum.
        round_up (bool): Keep the incomplete window at the end, if any (torch's ``ceil_mode``, for ``stride <= ksize``
            and ``pad`` 0).

    Returns:
        Variable: dtype of x, (B, C, H', W'), H' = (H + 2 * pad - ksize) / stride + 1, rounded down or up.

    Example:
        >>> import numpy as np
        >>> x = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
        >>> max_pool_2d(x).array[0, 0].tolist()
        [[14.0, 16.0], [26.0, 28.0]]
        >>> max_pool_2d(x, round_up=True).array[0, 0, 0].tolist()
        [14.0, 16.0, 17.0]
    """
    variable = chainer.as_variable(x)
    needs_gradient = chainer.config.enable_backprop and variable.requires_grad
    if needs_gradient or not isinstance(variable.array, np.ndarray):
        return F.max_pooling_2d(x, ksize, stride=stride, pad=pad, cover_all=round_up)
    array = variable.array
    if (compiled := import_compiled("numba_max_pool")) and array.dtype != np.float16:
        outsize = tuple(get_conv_outsize(size, ksize, stride, pad, cover_all=round_up) for size in array.shape[2:])
        return chainer.as_variable(compiled.forward(array, ksize, stride, pad, outsize))
    return chainer.as_variable(_maxima(array, ksize, stride, pad, round_up))


def _maxima(x, ksize, stride, pad, round_up):
    """Take the maximum of every window of an array: first along its columns, then along its rows."""
    for axis in (3, 2):
        size = x.shape[axis]
        n = get_conv_outsize(size, ksize, stride, pad, cover_all=round_up)
        reach = (n - 1) * stride + 1  # from the first window to the last
        shape = list(x.shape)
        shape[axis] = max(reach + ksize - 1, pad + size)
        padded = np.full(shape, -np.inf, x.dtype).swapaxes(axis, -1)
        padded[..., pad : pad + size] = x.swapaxes(axis, -1)
        taps = [padded[..., k : k + reach : stride] for k in range(ksize)]
        y = np.maximum(taps[0], taps[-1])
        for tap in taps[1:-1]:
            np.maximum(y, tap, out=y)
        x = y.swapaxes(axis, -1)
    return np.ascontiguousarray(x)
