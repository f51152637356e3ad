"""Losses of the second stage: what is in a region, and where exactly."""

from typing import Any, NamedTuple

import numpy as np
from chainer import backend

from chainfpn.boxes.matcher import match
from chainfpn.boxes.sampler import sample
from chainfpn.functions._cross_entropy import cross_entropy
from chainfpn.functions._gather_class import gather_class
from chainfpn.functions._smooth_l1_loss import smooth_l1_loss
from chainfpn.training.rpn_loss import BETA


class SampledProposals(NamedTuple):
    """The regions of one image that the second stage learns from.

    Attributes:
        bbox (array): float, (S, 4), yxyx in pixels of the batch.
        output (array): int32, (S,), index of the network's output: 0 for background.
        matched (array): int64, (P,), for each region that is not background the index of its object.
        target (array): float, (P, 4), likewise what leads from the region to the object.
    """

    bbox: Any
    output: Any
    matched: Any
    target: Any


def sample_proposals(
    proposals,
    bboxes,
    outputs,
    box_coder,
    *,
    fg_iou_thresh=0.5,
    bg_iou_thresh=0.5,
    batch_size_per_image=512,
    positive_fraction=0.25,
    permutation=np.random.permutation,
):
    """Choose among the proposals, and the objects themselves, what to learn from.

    Args:
        proposals (list of array): Per image, float, (N_i, 4), yxyx in pixels of the batch.
        bboxes (list of array): Per image, float, (R_i, 4), in whose dtype the regions are.
        outputs (list of array): Per image, int32, (R_i,), index of the network's output, > 0.
        box_coder (callable): A :class:`~chainfpn.boxes.BoxCoder`.
        fg_iou_thresh (float): Smallest IoU of a proposal with its object.
        bg_iou_thresh (float): IoU below which a proposal is background.
        batch_size_per_image (int): Proposals drawn per image.
        positive_fraction (float): Largest share of them with an object.
        permutation (callable): See :func:`~chainfpn.boxes.sample`.

    Returns:
        list of SampledProposals: Per image, in the order of the proposals.

    Raises:
        ValueError: if not bg_iou_thresh <= fg_iou_thresh.

    Source:
        Girshick 2015, section 2.3; torchvision 0.14 ``RoIHeads.select_training_samples``.
    """
    regions = []
    for proposal, bbox, output in zip(proposals, bboxes, outputs, strict=True):
        xp = backend.get_array_module(bbox)
        proposal = xp.concatenate((proposal.astype(bbox.dtype, copy=False), bbox))  # (N_i + R_i, 4)
        matched = match(proposal, bbox, high=fg_iou_thresh, low=bg_iou_thresh)
        drawn = sample(matched, batch_size_per_image, positive_fraction, permutation=permutation)
        drawn = xp.sort(xp.concatenate(drawn))  # (S,)
        proposal, matched = proposal[drawn], matched[drawn]
        positive, matched = matched >= 0, matched[matched >= 0]  # (S,), (P,)
        found = xp.zeros(len(drawn), np.int32)
        found[positive] = output[matched]
        target = box_coder.encode(bbox[matched], proposal[positive])  # (P, 4)
        regions.append(SampledProposals(proposal, found, matched, target))
    return regions


def positive_rows(regions):
    """Find the regions that show something, and the outputs that are to say what.

    Args:
        regions (list of SampledProposals): Per image.

    Returns:
        tuple of array: int64 and int32, (P,): the row among all regions, and the output.
    """
    xp = backend.get_array_module(regions[0].output)
    output = xp.concatenate([region.output for region in regions])  # (S,)
    (row,) = xp.nonzero(output)
    return row, output[row]


def roi_losses(logits, deltas, regions):
    """Compute how wrong classes and boxes of regions are.

    The loss of the boxes, of the right class alone, is summed and divided by the number of regions, background
    included.

    Args:
        logits (Variable): (S, K), the regions of the first image first.
        deltas (Variable): (S, 4 * K).
        regions (list of SampledProposals): Per image.

    Returns:
        dict: ``roi_class`` and ``roi_box``, Variables, float32 or float64, ().

    Source:
        Girshick 2015, section 2.3; torchvision 0.14 ``fastrcnn_loss``.
    """
    xp = backend.get_array_module(regions[0].output)
    found = gather_class(deltas, *positive_rows(regions), (4,))  # (P, 4)
    target = xp.concatenate([region.target for region in regions])  # (P, 4)
    right = xp.concatenate([region.output for region in regions])  # (S,)
    n_region = max(len(logits), 1)
    return {
        "roi_class": cross_entropy(logits, right, divisor=n_region),
        "roi_box": smooth_l1_loss(found, target, beta=BETA, divisor=n_region),
    }
