"""Binary cross entropy with targets between 0 and 1."""

from chainer import backend

from chainfpn._typing import Array, Variable
from chainfpn.functions._fused_loss import LossInput, fused_loss


def binary_cross_entropy(x: LossInput, t: Array, *, divisor: float = 1) -> Variable:
    """Sum -t * log(sigmoid(x)) - (1 - t) * log(1 - sigmoid(x)).

    Args:
        x (Variable or GatheredInput): float16/32/64, any shape, logits. float16 is computed in float32.
        t (array): float, shape of x, in 0..1; not differentiated.
        divisor (float): What the sum is divided by, > 0.

    Returns:
        Variable: float32 or float64, ().

    Raises:
        ValueError: if the shapes differ, or the divisor is not positive.

    Source:
        PyTorch 1.13 ``binary_cross_entropy_with_logits``. Chainer's ``sigmoid_cross_entropy`` takes only 0 and 1.

    Example:
        >>> import numpy as np
        >>> float(binary_cross_entropy(np.zeros(2), np.array([0.0, 0.25])).array / np.log(2))
        2.0
    """
    if x.shape != t.shape:
        raise ValueError(f"binary_cross_entropy: t must have the shape of x {x.shape}, got {t.shape}")

    def compute(x, with_gradient):
        xp = backend.get_array_module(x)
        target = t.astype(x.dtype, copy=False)
        small = xp.exp(-xp.abs(x))  # never overflows
        terms = xp.maximum(x, 0) - x * target + xp.log1p(small)
        gradient = xp.where(x >= 0, 1, small) / (1 + small) - target if with_gradient else None
        return terms.sum(dtype="float64"), gradient

    return fused_loss("binary_cross_entropy", x, compute, divisor)
