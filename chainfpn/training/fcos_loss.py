"""Losses of FCOS."""

import numpy as np
from chainer import backend

from chainfpn.boxes.matcher import BACKGROUND
from chainfpn.functions._binary_cross_entropy import binary_cross_entropy
from chainfpn.functions._gather import gather
from chainfpn.functions._giou_loss import giou_loss
from chainfpn.training.retinanet_loss import class_loss

#: A level is for objects whose farthest side is 4 to 8 strides away.
NEAREST, FARTHEST = 4, 8


def fcos_losses(logits, deltas, centers, anchors, bboxes, outputs, box_coder, *, center_sampling_radius=1.5):
    """Compute the focal loss of all positions, and of those with an object that of the boxes and the centerness.

    All three are divided by the number of positions with an object in the batch.

    Args:
        logits (list of Variable): Per level, (B, N_l, K).
        deltas (list of Variable): Per level, (B, N_l, 4), left, top, right, bottom.
        centers (list of Variable): Per level, (B, N_l, 1), logits.
        anchors (list of array): Per level, (N_l, 4), yxyx, squares as large as the stride.
        bboxes (list of array): Per image, float, (R_i, 4), yxyx in pixels of the batch.
        outputs (list of array): Per image, int32, (R_i,), index of the network's output.
        box_coder (callable): A :class:`~chainfpn.boxes.LinearBoxCoder`.
        center_sampling_radius (float): See :func:`match_positions`.

    Returns:
        dict: ``class``, ``box`` and ``centerness``, Variables, float32 or float64, ().

    Source:
        Tian et al. 2019, section 3; torchvision 0.14 ``FCOSHead.compute_loss``.
    """
    xp = backend.get_array_module(*anchors)
    whole = xp.concatenate(anchors)  # (N, 4)
    labels = xp.full((len(bboxes), len(whole)), -1, np.int32)
    rows, references, targets = [], [], []
    for i, (bbox, output) in enumerate(zip(bboxes, outputs, strict=True)):
        matched = match_positions(anchors, bbox, center_sampling_radius)  # (N,)
        (positive,) = xp.nonzero(matched >= 0)
        labels[i, positive] = output[matched[positive]]
        rows.append(positive + i * len(whole))
        references.append(whole[positive])
        targets.append(bbox[matched[positive]])
    rows, reference, target = (xp.concatenate(arrays) for arrays in (rows, references, targets))  # (P,), (P, 4), (P, 4)
    found = box_coder.decode(gather(deltas, rows).variable, reference)[:, 0]  # (P, 4)
    n = max(len(rows), 1)
    central = centerness(box_coder.encode(target, reference))[:, None]  # (P, 1)
    return {
        "class": class_loss(logits, labels, divisor=n),
        "box": giou_loss(found, target, divisor=n),
        "centerness": binary_cross_entropy(gather(centers, rows), central, divisor=n),
    }


def match_positions(anchors, bbox, radius):
    """Give each position the object it has to find.

    A position may look for an object that it lies in, whose centre is less than ``radius`` strides away in both axes,
    and whose farthest side is as far as its level is for. Of several the smallest is chosen.

    Args:
        anchors (list of array): Per level, (N_l, 4), yxyx, squares as large as the stride.
        bbox (array): float, (R, 4), yxyx.
        radius (float): Strides.

    Returns:
        array: int64, (N,), index of the object, or ``BACKGROUND``.

    Source:
        Tian et al. 2019, section 3.2; torchvision 0.14 ``FCOS.compute_loss``.
    """
    xp = backend.get_array_module(bbox)
    matched = []
    for level, anchor in enumerate(anchors):
        if not len(bbox):
            matched.append(xp.full(len(anchor), BACKGROUND, np.int64))
            continue
        y, x = 0.5 * (anchor[:, :2] + anchor[:, 2:]).astype(bbox.dtype, copy=False).T  # (N_l,)
        stride = (anchor[:, 3] - anchor[:, 1]).astype(bbox.dtype, copy=False)  # (N_l,)
        top, left, bottom, right = bbox.T[:, :, None]  # (R, 1)
        centre_y, centre_x = (bbox[:, :2] + bbox[:, 2:]).T[:, :, None] / 2
        offset = xp.maximum(xp.abs(y - centre_y), xp.abs(x - centre_x))  # (R, N_l)
        sides = y - top, x - left, bottom - y, right - x
        nearest, farthest = (
            choose(choose(sides[0], sides[1]), choose(sides[2], sides[3])) for choose in (xp.minimum, xp.maximum)
        )
        fits = (offset < radius * stride) & (nearest > 0)
        if level > 0:
            fits &= farthest > NEAREST * stride
        if level < len(anchors) - 1:
            fits &= farthest < FARTHEST * stride
        area = (bottom - top) * (right - left)  # (R, 1)
        rank = xp.where(fits, 1e8 - area, 0)  # (R, N_l); float32 takes areas that differ by a few pixels as equal
        best = rank.argmax(axis=0)
        matched.append(xp.where(fits.any(axis=0), best, BACKGROUND))
    return xp.concatenate(matched)


def centerness(distances):
    """Tell how central positions are in their boxes.

    Args:
        distances (array): float, (P, 4), left, top, right, bottom, > 0.

    Returns:
        array: dtype of distances, (P,), 1 in the centre, 0 at a side.

    Source:
        Tian et al. 2019, equation 3.
    """
    xp = backend.get_array_module(distances)
    one, other = distances[:, :2], distances[:, 2:]  # (P, 2)
    return xp.sqrt((xp.minimum(one, other) / xp.maximum(one, other)).prod(axis=1))
