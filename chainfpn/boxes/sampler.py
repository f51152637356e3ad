"""Which anchors or proposals a loss looks at."""

import numpy as np
from chainer import backend

from chainfpn.boxes.matcher import BACKGROUND


def sample(matched, n_sample, positive_fraction, *, permutation=np.random.permutation):
    """Draw boxes with an object, and fill up with background.

    At most ``int(n_sample * positive_fraction)`` have an object; the others are background, fewer if there is not
    enough.

    Args:
        matched (array): integers, (N,), see :func:`~chainfpn.boxes.match`.
        n_sample (int): How many boxes at most.
        positive_fraction (float): Largest share of those with an object.
        permutation (callable): A number n to a random order of 0 ... n - 1; called for the boxes with an object, then
            for the background. By default NumPy's global generator makes it, which a snapshot can keep.

    Returns:
        tuple of array: int64, indices of boxes with an object and of background, each ascending.

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
    return tuple(
        xp.sort(here[xp.asarray(permutation(len(here))[:n])])
        for here, n in ((positive, n_positive), (negative, n_negative))
    )
