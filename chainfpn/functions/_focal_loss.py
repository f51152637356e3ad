"""Focal loss."""

import numpy as np
from chainer import backend

from chainfpn.functions._fused_loss import fused_loss

#: Numbers handled at once on the CPU: what is computed on the way stays in the cache.
BLOCK = 2**15


def sigmoid_focal_loss(x, label, weight=None, *, alpha=0.25, gamma=2.0, divisor=1):
    """Sum the binary cross entropies of all outputs, those that are right anyway weighted down.

    With p the probability of the right answer, an output counts -(1 - p)**gamma * log(p), times ``alpha`` if it is the
    one of the label, else times 1 - ``alpha``.

    Args:
        x (Variable or GatheredInput): float16/32/64, (..., K), logits. float16 is computed in float32.
        label (array): integers, (...): the output that should say yes, or -1 for none.
        weight (array or None): float, (...), by which a row's terms are multiplied; 1 by default.
        alpha (float): Weight of the yes, in 0..1.
        gamma (float): How little counts what is nearly right.
        divisor (float): By which the sum is divided, > 0.

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
            raise ValueError(f"sigmoid_focal_loss: {name} must be {x.shape[:-1]} as x has rows, got {rows.shape}")

    def compute(x, with_gradient):
        xp = backend.get_array_module(x)
        shape, x = x.shape, x.reshape(-1, x.shape[-1])  # (N, K)
        labels, weights = label.ravel(), None if weight is None else weight.ravel().astype(x.dtype, copy=False)
        gradient = xp.empty_like(x) if with_gradient else None
        step = max(BLOCK // max(x.shape[1], 1), 1) if xp is np else max(len(x), 1)
        value = xp.zeros((), np.float64)
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            terms, slopes = _terms(x[rows], 1 - alpha, gamma)
            (yes,) = xp.nonzero(labels[rows] >= 0)
            if xp is not np or len(yes):
                place = yes, labels[rows][yes]
                terms[place], slope = _terms(-x[rows][place], alpha, gamma)
                slopes[place] = -slope
            if weights is not None:
                terms *= weights[rows, None]
                slopes *= weights[rows, None]
            value += terms.sum(dtype=np.float64)
            if with_gradient:
                gradient[rows] = slopes
        return value, gradient.reshape(shape) if with_gradient else None

    return fused_loss("sigmoid_focal_loss", x, compute, divisor)


def _terms(x, factor, gamma):
    """Compute what outputs count that should say no, and the derivative."""
    xp = backend.get_array_module(x)
    size = xp.abs(x)
    small = xp.exp(-size)  # never overflows
    high = 1 / (1 + small)
    low = small * high
    shift = (x > 0) * (high - low)  # choosing by arithmetic is many times faster than by where
    yes, no = low + shift, high - shift  # probabilities
    entropy = xp.log1p(small) + (x + size) * x.dtype.type(0.5)
    scale = factor * (yes * yes if gamma == 2 else yes**gamma)
    return scale * entropy, scale * (gamma * no * entropy + yes)
