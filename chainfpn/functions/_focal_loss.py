"""Focal loss."""

import numpy as np
from chainer import backend

from chainfpn._typing import Array, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._losses import LossInput, fused_loss

#: Numbers handled at once on the CPU, so that intermediate results stay in the cache.
BLOCK = 2**15


def sigmoid_focal_loss(
    x: LossInput,
    label: Array,
    weight: Array | None = None,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    divisor: float = 1,
) -> Variable:
    """Sum the binary cross entropies of all classes, easy ones weighted down.

    With p the probability of the target, a logit counts -(1 - p)**gamma * log(p), times ``alpha`` if it is positive
    (the one of the label), else times 1 - ``alpha``.

    Args:
        x (Variable or GatheredInput): float16/32/64, (..., K), logits. float16 is computed in float32.
        label (array): integers, (...), the class of each row, or -1 for background.
        weight (array or None): float, (...), factor on the terms of each row; 1 by default.
        alpha (float): Weight of positives, in 0..1.
        gamma (float): How strongly easy examples are weighted down.
        divisor (float): What the sum is divided by, > 0.

    Returns:
        Variable: float32 or float64, ().

    Raises:
        ValueError: if ``label`` or ``weight`` has another shape than the rows of x, or the divisor is not positive.

    Source:
        Lin et al. 2017 (RetinaNet), section 3; torchvision 0.14 ``sigmoid_focal_loss``.

    Example:
        >>> import numpy as np
        >>> loss = sigmoid_focal_loss(np.zeros((1, 2)), np.array([1]))  # 0.25 * (0.25 + 0.75) * log(2)
        >>> float(loss.array / np.log(2))
        0.25
    """
    for name, rows in (("label", label), ("weight", weight)):
        if rows is not None and rows.shape != x.shape[:-1]:
            raise InvalidArgument("sigmoid_focal_loss", name, f"{x.shape[:-1]} as x has rows", rows.shape)

    def compute(x):
        logits = x.reshape(-1, x.shape[-1])  # (N, K)
        labels, weights = label.ravel(), None if weight is None else weight.reshape(-1, 1).astype(x.dtype, copy=False)
        if backend.get_array_module(x) is not np:
            terms, slopes = _weighted_terms(logits, labels, weights, alpha, gamma)
            return terms, slopes.reshape(x.shape)
        gradient, total = np.empty_like(logits), np.zeros((), np.float64)
        step = max(BLOCK // max(x.shape[-1], 1), 1)
        for rows in (slice(start, start + step) for start in range(0, len(logits), step)):
            weights_here = None if weights is None else weights[rows]
            terms, gradient[rows] = _weighted_terms(logits[rows], labels[rows], weights_here, alpha, gamma)
            total += terms.sum(dtype=np.float64)
        return total, gradient.reshape(x.shape)

    return fused_loss("sigmoid_focal_loss", x, compute, divisor)


def _weighted_terms(x, label, weight, alpha, gamma):
    """Compute the terms of logits, (N, K), and their derivatives."""
    xp = backend.get_array_module(x)
    terms, slopes = _terms(x, 1 - alpha, gamma)
    (positive,) = xp.nonzero(label >= 0)
    place = positive, label[positive]
    terms[place], slope = _terms(-x[place], alpha, gamma)
    slopes[place] = -slope
    if weight is not None:
        terms *= weight
        slopes *= weight
    return terms, slopes


def _terms(x, factor, gamma):
    """Compute the terms of negative logits, and their derivatives."""
    xp = backend.get_array_module(x)
    size = xp.abs(x)
    small = xp.exp(-size)  # never overflows
    high = 1 / (1 + small)
    low = small * high
    shift = (x > 0) * (high - low)  # choosing by arithmetic is many times faster than by where
    p, q = low + shift, high - shift  # sigmoid(x) and 1 - sigmoid(x)
    entropy = xp.log1p(small) + (x + size) * x.dtype.type(0.5)
    scale = factor * (p * p if gamma == 2 else p**gamma)
    return scale * entropy, scale * (gamma * q * entropy + p)
