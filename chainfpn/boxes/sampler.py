"""Sampling of the anchors or proposals that enter a loss."""

from collections.abc import Callable

import numpy as np
from chainer import backend

from chainfpn._typing import Array
from chainfpn.boxes.matcher import BACKGROUND


def sample(
    matched: Array, n_sample: int, positive_fraction: float, *, permutation: Callable = np.random.permutation
) -> tuple[Array, Array]:
    """Sample positive boxes, and fill up with negative ones.

    At most ``int(n_sample * positive_fraction)`` are positive; the others are negative, fewer if there are not enough.

    Args:
        matched (array): integers, (N,), see :func:`~chainfpn.boxes.match`.
        n_sample (int): How many boxes at most.
        positive_fraction (float): Largest share of positives.
        permutation (callable): A number n to a random order of 0 ... n - 1; called for the positives, then for the
            negatives. By default NumPy's global generator makes it, which a snapshot can keep.

    Returns:
        tuple of array: int64, indices of the positives and of the negatives, each ascending.

    Source:
        torchvision 0.14 ``BalancedPositiveNegativeSampler``.

    Example:
        >>> positive, negative = sample(np.array([0, -1, 2, 1, -2, -1]), 4, 0.5, permutation=np.arange)
        >>> positive.tolist(), negative.tolist()
        ([0, 2], [1, 5])
    """
    xp = backend.get_array_module(matched)
    (positive,), (negative,) = xp.nonzero(matched >= 0), xp.nonzero(matched == BACKGROUND)
    n_positive = min(len(positive), int(n_sample * positive_fraction))
    n_negative = min(len(negative), n_sample - n_positive)
    positive = xp.sort(positive[xp.asarray(permutation(len(positive))[:n_positive])])
    return positive, xp.sort(negative[xp.asarray(permutation(len(negative))[:n_negative])])
