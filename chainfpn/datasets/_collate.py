"""A batch of examples as the arguments of a train chain."""

import chainer


@chainer.dataset.converter()
def collate(batch: list[tuple], device: chainer.backend.Device | None = None) -> tuple[list, ...]:
    """Turn a batch of examples into one list per key.

    Everything stays where it is, on the CPU: images are of different sizes, and the detector's preprocess brings
    them to its device.

    Args:
        batch (list of tuple): Examples: ``img``, ``bbox``, ``label`` and perhaps more.
        device (chainer.backend.Device or None): Ignored.

    Returns:
        tuple of list: ``imgs``, ``bboxes``, ``labels`` and so on, an entry per example.

    Example:
        >>> collate([("img 0", "bbox 0"), ("img 1", "bbox 1")], None)
        (['img 0', 'img 1'], ['bbox 0', 'bbox 1'])
    """
    return tuple(map(list, zip(*batch, strict=True)))
