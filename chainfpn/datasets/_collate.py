"""A batch of examples as the arguments of a train chain."""

from collections.abc import Sequence
from typing import Any

import chainer


@chainer.dataset.converter()
def collate(batch: Sequence[tuple], device: Any) -> tuple[list, ...]:
    """Turn a batch of examples into one list per key.

    Everything stays where it is, on the CPU: images are of different sizes, and the detector's preprocess brings
    them to its device.

    Args:
        batch (sequence of tuple): Examples: ``img``, ``bbox``, ``label`` and perhaps more.
        device (chainer.backend.Device or None): Ignored.

    Returns:
        tuple of list: ``imgs``, ``bboxes``, ``labels`` and so on, an entry per example.

    Example:
        >>> collate([("img 0", "bbox 0"), ("img 1", "bbox 1")], None)
        (['img 0', 'img 1'], ['bbox 0', 'bbox 1'])
    """
    return tuple(map(list, zip(*batch, strict=True)))
