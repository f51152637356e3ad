"""Which object, if any, each anchor or proposal has to find."""

import numpy as np
from chainer import backend

from chainfpn.boxes.iou import bbox_iou

#: What a box that matches no object is: too far from all of them, or too near to be called background.
BACKGROUND, IGNORED = -1, -2

#: Overlaps held at once: the objects are taken in blocks of so many.
BLOCK = 2**22


def match(bbox, objects, *, high, low, low_quality=False):
    """Give each box the object that it overlaps most.

    A box is background if its best IoU is below ``low``, ignored if that is between ``low`` and ``high``. With
    ``low_quality`` the boxes that no other overlaps an object more than keep the object they overlap most (which may
    be another), however little that is. Of equals the first object wins.

    Args:
        bbox (array): float, (N, 4), yxyx: anchors or proposals.
        objects (array): float, (R, 4), yxyx, none empty: the truth.
        high (float): Smallest IoU of a match.
        low (float): Smallest IoU of what is ignored.
        low_quality (bool): Let no object go without a box.

    Returns:
        array: int64, (N,), index of the object, or :data:`BACKGROUND`, or :data:`IGNORED`.

    Raises:
        ValueError: if not low <= high.

    Source:
        Ren et al. 2015, section 3.1.2; torchvision 0.14 ``Matcher``.

    Example:
        >>> objects = np.array([[0.0, 0.0, 4.0, 4.0]])
        >>> bbox = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0], [2.0, 2.0, 6.0, 6.0]])
        >>> match(bbox, objects, high=0.7, low=0.3).tolist()
        [0, -2, -1]
    """
    if not low <= high:
        raise ValueError(f"match: low must be <= high, got {low!r} and {high!r}")
    xp = backend.get_array_module(bbox)
    if not len(objects):
        return xp.full(len(bbox), BACKGROUND, np.int64)
    if not len(bbox):
        return xp.empty(0, np.int64)
    best, most, chosen = _best(bbox, objects, low_quality)
    matched = xp.where(most < low, BACKGROUND, xp.where(most < high, IGNORED, best))
    return xp.where(chosen, best, matched) if low_quality else matched


def _best(bbox, objects, low_quality):
    """Find the best object of each box, their IoU, and whether the box is the best of any object."""
    xp = backend.get_array_module(bbox)
    best, most, chosen = xp.zeros(len(bbox), np.int64), None, xp.zeros(len(bbox), bool)
    step = max(BLOCK // len(bbox), 1)
    for start in range(0, len(objects), step):
        overlap = bbox_iou(objects[start : start + step], bbox)  # (step, N)
        first = overlap.argmax(axis=0)  # (N,)
        largest = xp.take_along_axis(overlap, first[None], axis=0)[0]
        if most is None:
            best, most = first, largest
        else:
            better = largest > most
            best, most = xp.where(better, first + start, best), xp.where(better, largest, most)
        if low_quality:
            chosen |= (overlap == overlap.max(axis=1, keepdims=True)).any(axis=0)
    return best, most, chosen
