"""FCOS: its heads, targets, losses and detections; every place regresses the distances to the sides of its box.

The shape letters are those of ``dense_detector`` with one anchor a place, and P is the number of positive places.
"""

from collections.abc import Callable, Sequence
from typing import Any

import chainer
import chainer.functions as F
import numpy as np
from chainer import backend

from chainfpn._typing import Array, Arrays, Labels, Losses, Variable, Variables
from chainfpn.boxes.box_coder import LinearBoxCoder
from chainfpn.boxes.matcher import BACKGROUND
from chainfpn.functions._gather import gather
from chainfpn.functions._giou_loss import giou_loss
from chainfpn.functions._linear_map import flatten_anchors
from chainfpn.functions._losses import binary_cross_entropy
from chainfpn.links.detectors.dense_detector import (
    ClassificationHead,
    DenseDetector,
    conv3x3,
    conv_tower,
    focal_loss,
)
from chainfpn.links.group_normalization import GroupNormalization

#: A level is for boxes whose farthest side is 4 to 8 strides away.
NEAREST, FARTHEST = 4, 8


class FCOSRegressionHead(chainer.Chain):
    """Distances to the four sides, and centerness of every place.

    Args:
        channels (int): Channels of the pyramid, a multiple of 32.

    Source:
        Tian et al. 2019, sections 3.1 and 3.3; torchvision 0.14 ``FCOSRegressionHead``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        with self.init_scope():
            self.conv = conv_tower(channels, GroupNormalization)
            self.bbox_reg = conv3x3(channels, 4)
            self.bbox_ctrness = conv3x3(channels, 1)

    def forward(self, hs: Variables) -> tuple[list[Variable], list[Variable]]:
        """Predict.

        Args:
            hs (list of Variable): (B, C, H_l, W_l).

        Returns:
            tuple of two lists of Variable: Per level, distances (B, N_l, 4), left, top, right, bottom >= 0, and
            centerness logits (B, N_l, 1).
        """
        towers = [self.conv(h) for h in hs]  # levels of (B, C, H_l, W_l)
        distances = [flatten_anchors(F.relu(self.bbox_reg(h)), 4) for h in towers]  # levels of (B, N_l, 4)
        return distances, [flatten_anchors(self.bbox_ctrness(h), 1) for h in towers]


class FCOSHead(chainer.Chain):
    """Both heads of FCOS.

    Args:
        channels (int): Channels of the pyramid, a multiple of 32.
        n_output (int): Classes.
    """

    def __init__(self, channels: int, n_output: int) -> None:
        super().__init__()
        with self.init_scope():
            conv = conv_tower(channels, GroupNormalization)
            self.classification_head = ClassificationHead(conv, channels, 1, n_output)
            self.regression_head = FCOSRegressionHead(channels)

    def forward(self, hs: Variables) -> tuple[list[Variable], list[Variable], list[Variable]]:
        """Predict at every place.

        Args:
            hs (list of Variable): (B, C, H_l, W_l).

        Returns:
            tuple of three lists of Variable: Per level, logits (B, N_l, K), distances (B, N_l, 4) and
            centerness logits (B, N_l, 1).
        """
        return self.classification_head(hs), *self.regression_head(hs)


def match_places(anchors: Arrays, gt_bbox: Array, radius: float) -> Array:
    """Match each place with the ground truth box it has to find.

    A place is positive for a box that it lies in, whose centre is less than ``radius`` strides away in both axes, and
    whose farthest side is as far as its level is for. Of several boxes the smallest is chosen.

    Args:
        anchors (sequence of array): Per level, (N_l, 4), yxyx, squares as large as the stride.
        gt_bbox (array): float, (R, 4), yxyx.
        radius (float): Strides.

    Returns:
        array: int64, (N,), index of the ground truth box, or ``BACKGROUND``.

    Source:
        Tian et al. 2019, section 3.2; torchvision 0.14 ``FCOS.compute_loss``.
    """
    xp = backend.get_array_module(gt_bbox)
    if not len(gt_bbox):
        return xp.full(sum(map(len, anchors)), BACKGROUND, np.int64)
    matched = []
    for level, anchor in enumerate(anchors):
        y, x = 0.5 * (anchor[:, :2] + anchor[:, 2:]).astype(gt_bbox.dtype, copy=False).T  # (N_l,)
        stride = (anchor[:, 3] - anchor[:, 1]).astype(gt_bbox.dtype, copy=False)  # (N_l,)
        top, left, bottom, right = gt_bbox.T[:, :, None]  # (R, 1)
        centre_y, centre_x = (gt_bbox[:, :2] + gt_bbox[:, 2:]).T[:, :, None] / 2
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


def centerness(distances: Array) -> Array:
    """Compute how central places are in their boxes.

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


class FCOS(DenseDetector):
    """Detect in one stage, without anchors to choose from.

    The first arguments are those of :class:`~chainfpn.links.DenseDetector`; the head is a :class:`FCOSHead`. The anchor
    generator gives the unit of the distances: one square a place, as large as the stride.

    Args:
        center_sampling_radius (float): Strides from the centre of a ground truth box within which places are positive.
        rank_by_class (bool): Choose candidates by class probability, and score them by its product with the centerness,
            as the paper does; torchvision does both by the root of the product.

    Source:
        Tian et al. 2019; torchvision 0.14 ``FCOS``; mmdetection 3.3 ``FCOSHead`` (``rank_by_class``).
    """

    visualize_score_thresh = 0.5
    box_coder = LinearBoxCoder()

    def __init__(
        self, backbone: Any, head: Any, anchor_generator: Any, *, n_fg_class: int,
        class_ids: Sequence[int] | None = None, label_names: Labels | None = None, preprocess: Callable | None = None,
        score_thresh: float = 0.2, nms_thresh: float = 0.6, detections_per_img: int | None = 100,
        topk_candidates: int = 1000, box_coder: Any = None, clip_before_nms: bool = True, min_size: float = 0,
        center_sampling_radius: float = 1.5, rank_by_class: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            backbone, head, anchor_generator, n_fg_class, class_ids, label_names, preprocess, score_thresh, nms_thresh,
            detections_per_img, topk_candidates, box_coder, clip_before_nms, min_size,
        )  # fmt: skip
        self.rank_by_class = rank_by_class
        self.center_sampling_radius = center_sampling_radius

    def scores(self, logits: Variables, centers: Variables) -> list[Array]:
        """Score every place: the geometric mean of class probability and centerness, or the probability alone.

        Args:
            logits (list of Variable): Per level, (B, N_l, K).
            centers (list of Variable): Per level, (B, N_l, 1).

        Returns:
            list of array: Per level, (B, N_l, K).
        """
        probabilities = [F.sigmoid(logit).array for logit in logits]
        if self.rank_by_class:
            return probabilities
        return [self.xp.sqrt(p * F.sigmoid(center).array) for p, center in zip(probabilities, centers, strict=True)]

    def score_factors(self, *others: Variables) -> list[Array]:
        """Return the centerness, where it has no part in ``scores``; see :meth:`DenseDetector.score_factors`."""
        (centers,) = others
        return [F.sigmoid(center).array for center in centers] if self.rank_by_class else []

    def compute_loss(
        self, logits: Variables, deltas: Variables, centers: Variables, anchors: Arrays, gt_bboxes: Arrays,
        gt_classes: Arrays,
    ) -> Losses:  # fmt: skip
        """Compute the focal loss of all places, and the losses of boxes and centerness of the positive ones.

        All three are divided by the number of positive places in the batch.

        Args:
            logits (list of Variable): Per level, (B, N_l, K).
            deltas (list of Variable): Per level, (B, N_l, 4), left, top, right, bottom.
            centers (list of Variable): Per level, (B, N_l, 1), logits.
            anchors (sequence of array): Per level, (N_l, 4), yxyx, squares as large as the stride.
            gt_bboxes (sequence of array): Per image, float, (R, 4), yxyx in pixels of the batch.
            gt_classes (sequence of array): Per image, int32, (R,), class ids.

        Returns:
            dict: ``class``, ``box`` and ``centerness``, Variables, float32 or float64, ().

        Source:
            Tian et al. 2019, section 3; torchvision 0.14 ``FCOSHead.compute_loss``.
        """
        xp = backend.get_array_module(*anchors)
        anchor = xp.concatenate(anchors)  # (N, 4)
        classes = xp.full((len(gt_bboxes), len(anchor)), -1, np.int32)
        rows, references, targets = [], [], []
        for i, (gt_bbox, gt_class) in enumerate(zip(gt_bboxes, gt_classes, strict=True)):
            matched = match_places(anchors, gt_bbox, self.center_sampling_radius)  # (N,)
            (positive,) = xp.nonzero(matched >= 0)
            classes[i, positive] = gt_class[matched[positive]]
            rows.append(positive + i * len(anchor))
            references.append(anchor[positive])
            targets.append(gt_bbox[matched[positive]])
        row, reference, target = map(xp.concatenate, (rows, references, targets))  # (P,), (P, 4), (P, 4)
        found = self.box_coder.decode(gather(deltas, row).variable, reference)[:, 0]  # (P, 4)
        central = centerness(self.box_coder.encode(target, reference))[:, None]  # (P, 1)
        n = max(len(row), 1)
        return {
            "class": focal_loss(logits, classes, divisor=n),
            "box": giou_loss(found, target, divisor=n),
            "centerness": binary_cross_entropy(gather(centers, row), central, divisor=n),
        }
