"""Training targets: matching of anchors or proposals with the ground truth, and sampling of them."""

from collections.abc import Callable

import numpy as np
from chainer import backend

from chainfpn._options import check_iou_thresholds
from chainfpn._typing import Array
from chainfpn.boxes.iou import bbox_iou
from chainfpn.functions.kernels import kernels_for

#: Instead of the index of a ground truth box: a negative, and a box between the two thresholds.
BACKGROUND, IGNORED = -1, -2


def match(
    bbox: Array,
    gt_bbox: Array,
    *,
    fg_iou_thresh: float,
    bg_iou_thresh: float,
    allow_low_quality_matches: bool = False,
) -> Array:
    """Match each box with the ground truth box that it overlaps most.

    A box is background if its best IoU is below ``bg_iou_thresh``, ignored if that is between the thresholds. With
    ``allow_low_quality_matches`` the boxes that overlap a ground truth box more than any other box does are positive,
    however small the IoU; each keeps the ground truth box it overlaps most, which may be another. Of equals the first
    ground truth box wins.

    Args:
        bbox (array): float, (N, 4), yxyx: anchors or proposals.
        gt_bbox (array): float, (R, 4), yxyx, none empty.
        fg_iou_thresh (float): Smallest IoU of a positive.
        bg_iou_thresh (float): IoU below which a box is background.
        allow_low_quality_matches (bool): Leave no ground truth box without a positive.

    Returns:
        array: int64, (N,), index of the ground truth box, or :data:`BACKGROUND`, or :data:`IGNORED`.

    Raises:
        InvalidArgument: if not bg_iou_thresh <= fg_iou_thresh.

    Source:
        Ren et al. 2015, section 3.1.2; torchvision 0.14 ``Matcher``.

    Example:
        >>> gt_bbox = np.array([[0.0, 0.0, 4.0, 4.0]])
        >>> bbox = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0], [2.0, 2.0, 6.0, 6.0]])
        >>> match(bbox, gt_bbox, fg_iou_thresh=0.7, bg_iou_thresh=0.3).tolist()
        [0, -2, -1]
    """
    check_iou_thresholds("match", fg_iou_thresh, bg_iou_thresh)
    xp = backend.get_array_module(bbox)
    if not len(gt_bbox):
        return xp.full(len(bbox), BACKGROUND, np.int64)
    if not len(bbox):
        return xp.empty(0, np.int64)
    best, iou, is_low_quality = kernels_for(bbox).match(bbox, gt_bbox, allow_low_quality_matches)
    matched = xp.where(iou < bg_iou_thresh, BACKGROUND, xp.where(iou < fg_iou_thresh, IGNORED, best))
    return xp.where(is_low_quality, best, matched) if allow_low_quality_matches else matched


def match_ssd(bbox: Array, gt_bbox: Array, iou_thresh: float) -> Array:
    """Match each box with the ground truth box it overlaps most, and each ground truth box with its best box.

    A box is background if its best IoU is below ``iou_thresh``, unless it is the best box of a ground truth box. The
    best box of several ground truth boxes is matched with the last one.

    Args:
        bbox (array): float, (N, 4), yxyx, N > 0: default boxes.
        gt_bbox (array): float, (R, 4), yxyx, none empty.
        iou_thresh (float): Smallest IoU of a positive.

    Returns:
        array: int64, (N,), index of the ground truth box, or :data:`BACKGROUND`.

    Source:
        Liu et al. 2016 (SSD), section 2.2; torchvision 0.14 ``SSDMatcher``.

    Example:
        >>> gt_bbox = np.array([[0.0, 0.0, 4.0, 4.0], [8.0, 8.0, 9.0, 9.0]])
        >>> bbox = np.array([[0.0, 0.0, 4.0, 3.0], [0.0, 0.0, 4.0, 2.0], [6.0, 6.0, 9.0, 9.0]])
        >>> match_ssd(bbox, gt_bbox, 0.6).tolist()
        [0, -1, 1]
    """
    matched = match(bbox, gt_bbox, fg_iou_thresh=iou_thresh, bg_iou_thresh=iou_thresh)
    for i, best in enumerate(bbox_iou(gt_bbox, bbox).argmax(axis=1).tolist()):
        matched[best] = i
    return matched


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
