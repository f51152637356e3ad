"""Losses of SSD."""

import math

import numpy as np
from chainer import backend

from chainfpn.boxes.filtering import top_k
from chainfpn.boxes.matcher import match_ssd
from chainfpn.functions._cross_entropy import cross_entropy
from chainfpn.functions._gather import gather
from chainfpn.functions._smooth_l1_loss import smooth_l1_loss


def ssd_losses(logits, deltas, anchors, bboxes, outputs, box_coder, *, iou_thresh=0.5, positive_fraction=0.25):
    """Compute the losses of the boxes with an object, and of the background that looks most like one.

    Of each image those backgrounds are taken whose cross entropy is largest, a fixed number per box with an object.
    Where there are not as many, boxes with an object make up the number, and so count twice. Both losses are summed
    and divided by the number of boxes with an object in the batch.

    Args:
        logits (list of Variable): Per map, (B, N_l, K).
        deltas (list of Variable): Per map, (B, N_l, 4).
        anchors (list of array): Per map, (N_l, 4), yxyx.
        bboxes (list of array): Per image, float, (R_i, 4), yxyx in pixels of the batch.
        outputs (list of array): Per image, int32, (R_i,), index of the network's output, > 0.
        box_coder (callable): A :class:`~chainfpn.boxes.BoxCoder`.
        iou_thresh (float): Smallest IoU of a box with its object.
        positive_fraction (float): Share of the boxes with an object among those that enter the loss of the classes.

    Returns:
        dict: ``class`` and ``box``, Variables, float32 or float64, ().

    Source:
        Liu et al. 2016 (SSD), section 2.2; torchvision 0.14 ``SSD.compute_loss``.
    """
    xp = backend.get_array_module(*anchors)
    whole = xp.concatenate(anchors)  # (N, 4)
    negatives_per_positive = np.float32((1 - positive_fraction) / positive_fraction)  # multiplied so in torch, too
    positives, rows, answers, targets = [], [], [], []
    for i, (bbox, output) in enumerate(zip(bboxes, outputs, strict=True)):
        matched = match_ssd(whole, bbox, iou_thresh)  # (N,)
        (positive,) = xp.nonzero(matched >= 0)
        answer = xp.zeros(len(whole), np.int32)
        answer[positive] = output[matched[positive]]
        mistake = xp.concatenate([_background_loss(logit.array[i]) for logit in logits])  # (N,)
        mistake[positive] = -np.inf
        hardest = top_k(mistake, math.ceil(negatives_per_positive * np.float32(len(positive))))
        row = xp.concatenate((positive, hardest))  # (S_i,)
        positives.append(positive + i * len(whole))
        rows.append(row + i * len(whole))
        answers.append(answer[row])
        targets.append(box_coder.encode(bbox[matched[positive]], whole[positive]))  # (P_i, 4)
    positive = xp.concatenate(positives)  # (P,)
    n = max(len(positive), 1)
    return {
        "class": cross_entropy(gather(logits, xp.concatenate(rows)), xp.concatenate(answers), divisor=n),
        "box": smooth_l1_loss(gather(deltas, positive), xp.concatenate(targets), divisor=n),
    }


def _background_loss(logit):
    """Compute the cross entropy of calling boxes background: (N, K) to (N,), at least float32."""
    xp = backend.get_array_module(logit)
    logit = logit.astype(np.promote_types(logit.dtype, np.float32), copy=False)
    highest = logit.max(axis=1)
    return xp.log(xp.exp(logit - highest[:, None]).sum(axis=1)) + highest - logit[:, 0]
