"""Losses of RetinaNet."""

import chainer.functions as F
import numpy as np
from chainer import backend

from chainfpn.boxes.matcher import IGNORED, match
from chainfpn.functions._focal_loss import sigmoid_focal_loss
from chainfpn.functions._gather import gather
from chainfpn.functions._giou_loss import giou_loss
from chainfpn.functions._smooth_l1_loss import smooth_l1_loss

#: What boxes can be trained by.
BOX_LOSSES = ("l1", "giou")


def retinanet_losses(
    logits, deltas, anchors, bboxes, outputs, box_coder, *, fg_iou_thresh=0.5, bg_iou_thresh=0.4, box_loss="l1"
):
    """Compute the focal loss of all anchors, and how wrong the boxes of those with an object are.

    Anchors are matched with objects, none of which goes without one. The losses of an image are divided by the number
    of its anchors with an object, then averaged over the images.

    Args:
        logits (list of Variable): Per level, (B, N_l, K).
        deltas (list of Variable): Per level, (B, N_l, 4).
        anchors (list of array): Per level, (N_l, 4), yxyx.
        bboxes (list of array): Per image, float, (R_i, 4), yxyx in pixels of the batch.
        outputs (list of array): Per image, int32, (R_i,), index of the network's output.
        box_coder (callable): A :class:`~chainfpn.boxes.BoxCoder`.
        fg_iou_thresh (float): Smallest IoU of an anchor with its object.
        bg_iou_thresh (float): IoU below which an anchor is background.
        box_loss (str): ``'l1'``, the absolute errors of the deltas, or ``'giou'``, 1 - GIoU of the boxes themselves.

    Returns:
        dict: ``class`` and ``box``, Variables, float32 or float64, ().

    Raises:
        ValueError: if not bg_iou_thresh <= fg_iou_thresh.

    Source:
        Lin et al. 2017 (RetinaNet), section 4; Rezatofighi et al. 2019; torchvision 0.14
        ``RetinaNetHead.compute_loss``.
    """
    xp = backend.get_array_module(*anchors)
    whole = xp.concatenate(anchors)  # (N, 4)
    labels = xp.full((len(bboxes), len(whole)), -1, np.int32)
    weights = xp.empty((len(bboxes), len(whole)), np.promote_types(logits[0].dtype, np.float32))
    box_errors = []
    for i, (bbox, output) in enumerate(zip(bboxes, outputs, strict=True)):
        matched = match(whole, bbox, high=fg_iou_thresh, low=bg_iou_thresh, low_quality=True)  # (N,)
        (positive,) = xp.nonzero(matched >= 0)
        n = len(bboxes) * max(len(positive), 1)
        weights[i] = xp.where(matched == IGNORED, 0, 1 / n)
        labels[i, positive] = output[matched[positive]]
        rows, reference, target = (
            positive + i * len(whole),
            whole[positive],
            bbox[matched[positive]],
        )  # (P_i,), (P_i, 4)
        found = gather(deltas, rows)  # (P_i, 4)
        if box_loss == "giou":
            error = giou_loss(box_coder.decode(found.variable, reference)[:, 0], target, divisor=n)
        else:
            error = smooth_l1_loss(found, box_coder.encode(target, reference), beta=0, divisor=n)
        box_errors.append(error)
    return {"class": class_loss(logits, labels, weights), "box": F.add(*box_errors)}


def class_loss(logits, labels, weights=None, *, divisor=1):
    """Sum the focal loss over levels that are not put together, for they are large.

    Args:
        logits (list of Variable): Per level, (B, N_l, K).
        labels (array): int32, (B, N), the output of each anchor, -1 for none.
        weights (array or None): float, (B, N).
        divisor (float): By which the sum is divided.

    Returns:
        Variable: float32 or float64, ().
    """
    losses, start = [], 0
    for logit in logits:
        here = slice(start, start + logit.shape[1])
        weight = None if weights is None else weights[:, here]
        losses.append(sigmoid_focal_loss(logit, labels[:, here], weight, divisor=divisor))
        start = here.stop
    return F.add(*losses)
