"""Generalized IoU loss."""

from chainer import backend

from chainfpn._typing import Array, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._losses import LossInput, fused_loss


def giou_loss(x: LossInput, t: Array, *, eps: float = 1e-7, divisor: float = 1) -> Variable:
    """Sum 1 - GIoU of pairs of boxes.

    GIoU is the intersection over the union, less the share of the smallest box around both that neither covers; boxes
    that do not overlap are still pulled towards each other.

    Args:
        x (Variable or GatheredInput): float16/32/64, (R, 4), yxyx. float16 is computed in float32.
        t (array): float, (R, 4), yxyx; not differentiated.
        eps (float): Added to the areas in denominators.
        divisor (float): What the sum is divided by, > 0.

    Returns:
        Variable: float32 or float64, ().

    Raises:
        ValueError: if the shapes are not (R, 4) both, or the divisor is not positive.

    Source:
        Rezatofighi et al. 2019; torchvision 0.14 ``generalized_box_iou_loss``.

    Example:
        >>> import numpy as np
        >>> x, t = np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[0.0, 4.0, 2.0, 6.0]])  # a third of the hull is gap
        >>> round(float(giou_loss(x, t).array), 6)
        1.333333
    """
    if x.ndim != 2 or x.shape[1] != 4 or t.shape != x.shape:
        got = f"shapes {x.shape} and {t.shape}"
        raise InvalidArgument("giou_loss", "x and t", "(R, 4)", (x.shape, t.shape), got=got)

    return fused_loss("giou_loss", x, lambda x: _terms(x, t.astype(x.dtype, copy=False), eps), divisor)


def _terms(x, t, eps):
    """Compute the terms and the gradient of their sum; lengths along both axes are (R, 2), areas (R,)."""
    xp = backend.get_array_module(x)
    (low, high), (t_low, t_high) = (x[:, :2], x[:, 2:]), (t[:, :2], t[:, 2:])  # (R, 2)
    size, t_size = high - low, t_high - t_low
    common = xp.minimum(high, t_high) - xp.maximum(low, t_low)
    common = xp.where((common > 0).all(axis=1, keepdims=True), common, 0)
    hull = xp.maximum(high, t_high) - xp.minimum(low, t_low)
    shared, around = common.prod(axis=1), hull.prod(axis=1)  # (R,)
    union = size.prod(axis=1) + t_size.prod(axis=1) - shared
    terms = 1 - shared / (union + eps) + (around - union) / (around + eps)

    # derivatives of the terms by the three areas, and of the areas by the sides
    by_shared = -1 / (union + eps)
    by_union = shared / (union + eps) ** 2 - 1 / (around + eps)
    by_around = (union + eps) / (around + eps) ** 2
    by_shared, by_size, by_around = (a[:, None] for a in (by_shared - by_union, by_union, by_around))
    size, common, hull = size[:, ::-1], common[:, ::-1], hull[:, ::-1]  # an area grows by the length of the other axis
    low_is_larger, high_is_larger = _step(low - t_low), _step(high - t_high)  # where equal, half of each
    by_low = -by_size * size - by_shared * common * low_is_larger - by_around * hull * (1 - low_is_larger)
    by_high = by_size * size + by_shared * common * (1 - high_is_larger) + by_around * hull * high_is_larger
    return terms, xp.concatenate((by_low, by_high), axis=1)


def _step(x):
    return 0.5 * (backend.get_array_module(x).sign(x) + 1)
