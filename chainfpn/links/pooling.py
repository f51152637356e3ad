"""Maximum pooling as torch does it, which leaves an incomplete window at the end out unless told otherwise."""

import chainer.functions as F


def max_pool(x, ksize=3, *, stride=2, pad=0, round_up=False):
    """Take the maximum of every window.

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
        >>> max_pool(x).array[0, 0].tolist()
        [[14.0, 16.0], [26.0, 28.0]]
        >>> max_pool(x, round_up=True).array[0, 0, 0].tolist()
        [14.0, 16.0, 17.0]
    """
    return F.max_pooling_2d(x, ksize, stride=stride, pad=pad, cover_all=round_up)
