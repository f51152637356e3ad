"""Which object, if any, each anchor or proposal has to find."""

import numpy as np
from chainer import backend

from chainfpn.boxes.iou import bbox_iou
from chainfpn.functions.kernels import kernels_for

#: What a box that matches no object is: too far from all of them, or too near to be called background.
BACKGROUND, IGNORED = -1, -2


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
    best, most, chosen = kernels_for(bbox).match(bbox, objects, low_quality)
    matched = xp.where(most < low, BACKGROUND, xp.where(most < high, IGNORED, best))
    return xp.where(chosen, best, matched) if low_quality else matched


def match_ssd(bbox, objects, thresh):
    """Give each box the object that it overlaps most, and each object the box that overlaps it most.

    A box is background if its best IoU is below ``thresh``, unless it is the best of an object. The best box of several
    objects is the last one's.

    Args:
        bbox (array): float, (N, 4), yxyx, N > 0: default boxes.
        objects (array): float, (R, 4), yxyx, none empty: the truth.
        thresh (float): Smallest IoU of a match.

    Returns:
        array: int64, (N,), index of the object, or :data:`BACKGROUND`.

    Source:
        Liu et al. 2016 (SSD), section 2.2; torchvision 0.14 ``SSDMatcher``.

    Example:
        >>> objects = np.array([[0.0, 0.0, 4.0, 4.0], [8.0, 8.0, 9.0, 9.0]])
        >>> bbox = np.array([[0.0, 0.0, 4.0, 3.0], [0.0, 0.0, 4.0, 2.0], [6.0, 6.0, 9.0, 9.0]])
        >>> match_ssd(bbox, objects, 0.6).tolist()
        [0, -1, 1]
    """
    matched = match(bbox, objects, high=thresh, low=thresh)
    best = bbox_iou(objects, bbox).argmax(axis=1).tolist()  # (R,)
    for i, j in enumerate(best):
        matched[j] = i
    return matched
