"""Smooth L1."""

from chainer import backend

from chainfpn._typing import Array, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._fused_loss import LossInput, fused_loss


def smooth_l1_loss(x: LossInput, t: Array, *, beta: float = 1.0, divisor: float = 1) -> Variable:
    """Sum the absolute differences, squared where they are small.

    A difference d counts d**2 / (2 * beta) if abs(d) < beta, else abs(d) - beta / 2; with beta 0 that is L1.

    Args:
        x (Variable or GatheredInput): float16/32/64, any shape. float16 is computed in float32.
        t (array): float, shape of x, the targets; not differentiated.
        beta (float): Where the square ends.
        divisor (float): What the sum is divided by, > 0.

    Returns:
        Variable: float32 or float64, ().

    Raises:
        ValueError: if the shapes differ, beta is negative or the divisor not positive.

    Source:
        Girshick 2015; PyTorch 1.13 ``smooth_l1_loss``.

    Example:
        >>> import numpy as np
        >>> smooth_l1_loss(np.array([0.5, 3.0]), np.zeros(2)).array
        array(2.625)
    """
    if x.shape != t.shape:
        raise ValueError(f"smooth_l1_loss: t must have the shape of x {x.shape}, got {t.shape}")
    if not beta >= 0:
        raise InvalidArgument("smooth_l1_loss", "beta", ">= 0", beta)

    def compute(x, with_gradient):
        xp = backend.get_array_module(x)
        difference = x - t.astype(x.dtype, copy=False)
        size = xp.abs(difference)
        if beta == 0:
            return size.sum(dtype="float64"), xp.sign(difference) if with_gradient else None
        terms = xp.where(size < beta, 0.5 / beta * size * size, size - 0.5 * beta)
        return terms.sum(dtype="float64"), xp.clip(difference / beta, -1, 1) if with_gradient else None

    return fused_loss("smooth_l1_loss", x, compute, divisor)
