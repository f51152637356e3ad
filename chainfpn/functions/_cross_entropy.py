"""Softmax cross entropy."""

import numpy as np
from chainer import backend

from chainfpn._typing import Array, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._fused_loss import LossInput, fused_loss


def cross_entropy(x: LossInput, t: Array, *, divisor: float = 1) -> Variable:
    """Sum -log(softmax(x)) of the target classes.

    Args:
        x (Variable or GatheredInput): float16/32/64, (R, K), logits. float16 is computed in float32.
        t (array): integers, (R,), the class of each row, in [0, K).
        divisor (float): What the sum is divided by, > 0.

    Returns:
        Variable: float32 or float64, (); 0 where there is no row, for which Chainer's ``softmax_cross_entropy`` has no
        gradient.

    Raises:
        ValueError: if the shapes do not fit, or the divisor is not positive.

    Source:
        PyTorch 1.13 ``cross_entropy`` with ``reduction="sum"``.

    Example:
        >>> float(cross_entropy(np.zeros((3, 2)), np.array([0, 1, 1])).array / np.log(2))
        3.0
    """
    if x.ndim != 2 or t.shape != x.shape[:1]:
        got = f"shapes {x.shape} and {t.shape}"
        raise InvalidArgument("cross_entropy", "x", "(R, K) and t (R,)", (x.shape, t.shape), got=got)

    def compute(x, with_gradient):
        xp = backend.get_array_module(x)
        rows = xp.arange(len(x))
        shifted = x - x.max(axis=1, keepdims=True)
        power = xp.exp(shifted)
        total = power.sum(axis=1)  # (R,)
        terms = xp.log(total) - shifted[rows, t]
        if not with_gradient:
            return terms.sum(dtype=np.float64), None
        power /= total[:, None]
        power[rows, t] -= 1
        return terms.sum(dtype=np.float64), power

    return fused_loss("cross_entropy", x, compute, divisor)
