"""Losses of the region proposal network."""

from typing import Any, NamedTuple

import numpy as np
from chainer import backend

from chainfpn.boxes.matcher import match
from chainfpn.boxes.sampler import sample
from chainfpn.functions._binary_cross_entropy import binary_cross_entropy
from chainfpn.functions._gather import gather
from chainfpn.functions._smooth_l1_loss import smooth_l1_loss

#: Where the losses of boxes in detectors of two stages turn from squares into absolute values.
BETA = 1 / 9


class SampledAnchors(NamedTuple):
    """The anchors of a batch that the network learns from. A row is that of an anchor among those of all images.

    Attributes:
        rows (array): int64, (S,), those with an object first.
        target (array): float, (P, 4), for each of these what leads from the anchor to the object.
    """

    rows: Any
    target: Any


def sample_anchors(
    anchors,
    bboxes,
    box_coder,
    *,
    fg_iou_thresh=0.7,
    bg_iou_thresh=0.3,
    batch_size_per_image=256,
    positive_fraction=0.5,
    permutation=np.random.permutation,
):
    """Choose the anchors to learn from: some with an object, none of which goes without one, and some without.

    Args:
        anchors (list of array): Per level, (N_l, 4), yxyx.
        bboxes (list of array): Per image, float, (R_i, 4), yxyx in pixels of the batch.
        box_coder (callable): A :class:`~chainfpn.boxes.BoxCoder`.
        fg_iou_thresh (float): Smallest IoU of an anchor with its object.
        bg_iou_thresh (float): IoU below which an anchor is background.
        batch_size_per_image (int): Anchors drawn per image.
        positive_fraction (float): Largest share of them with an object.
        permutation (callable): See :func:`~chainfpn.boxes.sample`.

    Returns:
        SampledAnchors: The anchors.

    Raises:
        ValueError: if not bg_iou_thresh <= fg_iou_thresh.

    Source:
        Ren et al. 2015, section 3.1.2; torchvision 0.14 ``RegionProposalNetwork.assign_targets_to_anchors``.
    """
    xp = backend.get_array_module(*anchors)
    anchors = xp.concatenate(anchors)  # (N, 4)
    positives, negatives, targets = [], [], []
    for i, bbox in enumerate(bboxes):
        matched = match(anchors, bbox, high=fg_iou_thresh, low=bg_iou_thresh, low_quality=True)  # (N,)
        positive, negative = sample(matched, batch_size_per_image, positive_fraction, permutation=permutation)
        targets.append(box_coder.encode(bbox[matched[positive]], anchors[positive]))  # (P_i, 4)
        positives.append(positive + i * len(anchors))
        negatives.append(negative + i * len(anchors))
    return SampledAnchors(xp.concatenate(positives + negatives), xp.concatenate(targets))


def rpn_losses(logits, deltas, drawn):
    """Compute how wrong the network is about which anchors show something, and where that is.

    The anchors drawn alone enter the losses, and get gradients; by their number both losses are divided.

    Args:
        logits (list of Variable): Per level, (B, N_l).
        deltas (list of Variable): Per level, (B, N_l, 4).
        drawn (SampledAnchors): The anchors.

    Returns:
        dict: ``rpn_objectness`` and ``rpn_box``, Variables, float32 or float64, ().

    Source:
        Ren et al. 2015, section 3.1.2; torchvision 0.14 ``RegionProposalNetwork.compute_loss``.
    """
    rows, target = drawn
    n_positive, n_sample = len(target), max(len(rows), 1)
    shows = backend.get_array_module(rows).zeros(len(rows), np.float32)
    shows[:n_positive] = 1
    found = gather(deltas, rows[:n_positive])  # (P, 4)
    return {
        "rpn_objectness": binary_cross_entropy(gather(logits, rows), shows, divisor=n_sample),
        "rpn_box": smooth_l1_loss(found, target, beta=BETA, divisor=n_sample),
    }
