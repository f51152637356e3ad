"""RetinaNet: its heads, losses and detections, for every anchor of every level in one go.

The shape letters are those of ``dense_detector``, and P is the number of positive anchors of an image.
"""

from collections.abc import Callable, Sequence
from typing import Any

import chainer
import chainer.functions as F
import numpy as np
from chainer import backend

from chainfpn._option_rules import CheckedOptions, check_iou_thresholds
from chainfpn._typing import Array, Arrays, Labels, Losses, Norm, Variable, Variables
from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.boxes.matcher import IGNORED, match
from chainfpn.functions._gather import gather
from chainfpn.functions._giou_loss import giou_loss
from chainfpn.functions._linear_map import flatten_anchors
from chainfpn.functions._losses import smooth_l1_loss
from chainfpn.functions.kernels import compute_dtype
from chainfpn.links.detectors.dense_detector import (
    ClassificationHead,
    DenseDetector,
    DenseHead,
    conv3x3,
    conv_tower,
    focal_loss,
)


class RetinaNetRegressionHead(chainer.Chain):
    """Deltas of every anchor.

    Args:
        conv (callable): The :func:`conv_tower`.
        channels (int): Channels of the pyramid.
        n_anchors (int): Anchors a place.

    Source:
        Lin et al. 2017 (RetinaNet), section 4; torchvision 0.14 ``RetinaNetRegressionHead``.
    """

    def __init__(self, conv: Any, channels: int, n_anchors: int) -> None:
        super().__init__()
        with self.init_scope():
            self.conv = conv
            self.bbox_reg = conv3x3(channels, n_anchors * 4)

    def forward(self, hs: Variables) -> list[Variable]:
        """Regress every level: (B, C, H_l, W_l) to (B, N_l, 4): dx, dy, dw, dh."""
        return [flatten_anchors(self.bbox_reg(self.conv(h)), 4) for h in hs]


class RetinaNetHead(CheckedOptions, DenseHead):
    """Both heads of RetinaNet.

    Args:
        channels (int): Channels of the pyramid.
        n_anchors (int): Anchors a place.
        n_output (int): Classes.
        norm (callable or None): Makes a normalization link for a number of channels.
        box_loss (str): What boxes are trained by: ``'l1'``, the absolute errors of the deltas, or ``'giou'``, 1 - GIoU
            of the boxes themselves.
    """

    def __init__(
        self, channels: int, n_anchors: int, n_output: int, *, norm: Norm | None = None, box_loss: str = "l1"
    ) -> None:
        super().__init__()
        self.box_loss = box_loss
        towers = [conv_tower(channels, norm, nested=norm is not None) for _ in range(2)]
        with self.init_scope():
            self.classification_head = ClassificationHead(towers[0], channels, n_anchors, n_output)
            self.regression_head = RetinaNetRegressionHead(towers[1], channels, n_anchors)


class RetinaNet(DenseDetector):
    """Detect in one stage, with a sigmoid per class.

    The first arguments are those of :class:`~chainfpn.links.DenseDetector`; the head is a :class:`RetinaNetHead`.

    Args:
        fg_iou_thresh (float): Smallest IoU of a positive anchor with its ground truth box.
        bg_iou_thresh (float): IoU below which an anchor is background.

    Source:
        Lin et al. 2017 (RetinaNet); torchvision 0.14 ``RetinaNet``.
    """

    visualize_score_thresh = 0.5
    box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))

    def __init__(
        self, backbone: Any, head: Any, anchor_generator: Any, *, n_fg_class: int,
        class_ids: Sequence[int] | None = None, label_names: Labels | None = None, preprocess: Callable | None = None,
        score_thresh: float = 0.05, nms_thresh: float = 0.5, detections_per_img: int | None = 300,
        topk_candidates: int = 1000, box_coder: Any = None, clip_before_nms: bool = True, min_size: float = 0,
        fg_iou_thresh: float = 0.5, bg_iou_thresh: float = 0.4,
    ) -> None:  # fmt: skip
        super().__init__(
            backbone, head, anchor_generator, n_fg_class, class_ids, label_names, preprocess, score_thresh, nms_thresh,
            detections_per_img, topk_candidates, box_coder, clip_before_nms, min_size,
        )  # fmt: skip
        self.fg_iou_thresh, self.bg_iou_thresh = fg_iou_thresh, bg_iou_thresh
        check_iou_thresholds(type(self).__name__, fg_iou_thresh, bg_iou_thresh)

    def scores(self, logits: Variables) -> list[Array]:
        """Score every anchor.

        Args:
            logits (list of Variable): Per level, (B, N_l, K).

        Returns:
            list of array: Per level, (B, N_l, K), probabilities.
        """
        return [F.sigmoid(logit).array for logit in logits]

    def compute_loss(
        self, logits: Variables, deltas: Variables, anchors: Arrays, gt_bboxes: Arrays, gt_classes: Arrays
    ) -> Losses:
        """Compute the focal loss of all anchors, and the box loss of the positive ones.

        Every ground truth box has a positive anchor, however small the IoU. The losses of an image are divided by the
        number of its positive anchors, then averaged over the images.

        Args:
            logits (list of Variable): Per level, (B, N_l, K).
            deltas (list of Variable): Per level, (B, N_l, 4).
            anchors (sequence of array): Per level, (N_l, 4), yxyx.
            gt_bboxes (sequence of array): Per image, float, (R, 4), yxyx in pixels of the batch.
            gt_classes (sequence of array): Per image, int32, (R,), class ids.

        Returns:
            dict: ``class`` and ``box``, Variables, float32 or float64, ().

        Raises:
            InvalidArgument: if not bg_iou_thresh <= fg_iou_thresh.

        Source:
            Lin et al. 2017 (RetinaNet), section 4; Rezatofighi et al. 2019; torchvision 0.14
            ``RetinaNetHead.compute_loss``.
        """
        xp = backend.get_array_module(*anchors)
        anchor = xp.concatenate(anchors)  # (N, 4)
        thresholds = {"fg_iou_thresh": self.fg_iou_thresh, "bg_iou_thresh": self.bg_iou_thresh}
        classes = xp.full((len(gt_bboxes), len(anchor)), -1, np.int32)
        weights = xp.empty(classes.shape, compute_dtype(logits[0].dtype))
        box_losses = []
        for i, (gt_bbox, gt_class) in enumerate(zip(gt_bboxes, gt_classes, strict=True)):
            matched = match(anchor, gt_bbox, **thresholds, allow_low_quality_matches=True)  # (N,)
            (positive,) = xp.nonzero(matched >= 0)  # (P,)
            n = len(gt_bboxes) * max(len(positive), 1)
            weights[i] = xp.where(matched == IGNORED, 0, 1 / n)
            classes[i, positive] = gt_class[matched[positive]]
            found = gather(deltas, positive + i * len(anchor))  # (P, 4)
            reference, target = anchor[positive], gt_bbox[matched[positive]]  # (P, 4)
            if self.head.box_loss == "giou":
                loss = giou_loss(self.box_coder.decode(found.variable, reference)[:, 0], target, divisor=n)
            else:
                loss = smooth_l1_loss(found, self.box_coder.encode(target, reference), beta=0, divisor=n)
            box_losses.append(loss)
        return {"class": focal_loss(logits, classes, weights), "box": F.add(*box_losses)}
