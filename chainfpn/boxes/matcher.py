"""Training targets: matching of anchors or proposals with the ground truth, and sampling of them."""

from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
from chainer import backend
from chainer.backends import cuda

from chainfpn._option_rules import check_iou_thresholds
from chainfpn._typing import Array
from chainfpn.boxes.iou import bbox_iou
from chainfpn.functions.kernels import kernels_for
from chainfpn.functions.kernels.iou_match import BACKGROUND, IGNORED

__all__ = ["BACKGROUND", "IGNORED", "match", "match_ssd", "offsets", "sample", "sample_batch"]


def match(
    bbox: Array,
    gt_bbox: Array,
    *,
    fg_iou_thresh: float,
    bg_iou_thresh: float,
    allow_low_quality_matches: bool = False,
    min_low_quality_iou: float | None = None,
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
        min_low_quality_iou (float or None): Only those whose best IoU is at least this have such positives, which are
            theirs, whatever they overlap more; of several the last wins.

    Returns:
        array: int64, (N,), index of the ground truth box, or :data:`BACKGROUND`, or :data:`IGNORED`.

    Raises:
        InvalidArgument: if not bg_iou_thresh <= fg_iou_thresh.

    Source:
        Ren et al. 2015, section 3.1.2; torchvision 0.14 ``Matcher``; with ``min_low_quality_iou`` mmdetection 3.3
        ``MaxIoUAssigner``.

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
    low_quality = allow_low_quality_matches and min_low_quality_iou is None
    matched = kernels_for(bbox).match(bbox, gt_bbox, fg_iou_thresh, bg_iou_thresh, low_quality)
    if allow_low_quality_matches and min_low_quality_iou is not None:
        ious = bbox_iou(gt_bbox, bbox)  # (R, N)
        best = ious.max(axis=1)
        for i in cuda.to_cpu(xp.flatnonzero(best >= min_low_quality_iou)).tolist():
            matched[ious[i] == best[i]] = i
    return matched


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
    positive, negative, *_ = sample_batch(matched, [len(matched)], n_sample, positive_fraction, permutation=permutation)
    return positive, negative


def sample_batch(
    matched: Array, lengths: Sequence[int], n_sample: int, positive_fraction: float, *, permutation: Callable
) -> tuple[Array, Array, list[int], list[int]]:
    """Sample from each image as :func:`sample` does, the positives and then the negatives of an image at a time.

    The host waits for the device once, for the numbers of positives and negatives.

    Args:
        matched (array): integers, (N,), of all images, the first image's first.
        lengths (sequence of int): How many each image has.
        n_sample (int): How many boxes of an image at most.
        positive_fraction (float): Largest share of positives.
        permutation (callable): See :func:`sample`.

    Returns:
        tuple: The positives and the negatives, int64, indices into ``matched``, ascending; and how many of each every
        image has, two lists of int.
    """
    xp, n = backend.get_array_module(matched), len(matched)
    rank = xp.zeros(2 * n + 1, np.int64)  # of each positive, then of each negative, counted from 1
    xp.cumsum(xp.concatenate((matched >= 0, matched == BACKGROUND)), out=rank[1:])
    ends = np.cumsum([0, *lengths, *lengths])
    before = cuda.to_cpu(rank[xp.asarray(ends)])
    available, n_images = np.diff(before), len(lengths)
    ranks: tuple[list, list] = [], []  # of what is drawn, positives and negatives, per image
    n_positives: list[int] = []
    n_negatives: list[int] = []
    for i in range(n_images):
        n_positives.append(min(int(available[i]), int(n_sample * positive_fraction)))
        n_negatives.append(min(int(available[n_images + i]), n_sample - n_positives[i]))
        for part, n_drawn in enumerate((n_positives[i], n_negatives[i])):
            j = i + part * n_images
            drawn = np.asarray(permutation(int(available[j]))[:n_drawn])
            ranks[part].append(np.sort(drawn) + before[j] + 1)
    n_positive = sum(n_positives)
    rows = xp.searchsorted(rank[1:], xp.asarray(np.concatenate((*ranks[0], *ranks[1]))))
    return rows[:n_positive], rows[n_positive:] - n, n_positives, n_negatives


def offsets(parts: Sequence[Array], lengths: Sequence[int], xp: ModuleType) -> Array:
    """Return where the part of each row begins among all parts together.

    Args:
        parts (sequence of array): One per image.
        lengths (sequence of int): Rows of each image.
        xp (module): numpy or cupy.

    Returns:
        array: int64, (sum of lengths,).
    """
    starts = np.cumsum([0, *map(len, parts)])[:-1]
    return xp.asarray(np.repeat(starts, lengths))
