"""SSD: its head, losses with hard negative mining, and detections, for the default boxes of several maps.

Shapes: B images, H_l and W_l the size of map l, A_l boxes a place, N_l = H_l W_l A_l default boxes of a map, N those of
all maps, R boxes of an image, R' candidates of all classes, K classes with the background, P positive boxes of a
batch, S those and the hard negatives.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import chainer
import chainer.functions as F
import numpy as np
from chainer import backend, initializers

from chainfpn._typing import Array, Arrays, Labels, Losses, Variable, Variables
from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.boxes.filtering import best_of_each, clip, suppress, top_k
from chainfpn.boxes.matcher import match_ssd
from chainfpn.functions._gather import gather
from chainfpn.functions._linear_map import flatten_anchors
from chainfpn.functions._losses import cross_entropy, smooth_l1_loss
from chainfpn.functions.kernels import compute_dtype
from chainfpn.functions.kernels.waiting import nonzero
from chainfpn.links.detectors.dense_detector import DenseDetector, DenseHead
from chainfpn.links.detectors.detections import RawDetections
from chainfpn.links.layers import Convolution2D


def _convolution(in_channels: int, out_channels: int) -> Convolution2D:
    return Convolution2D(in_channels, out_channels, 3, pad=1, initialW=initializers.GlorotUniform())


class SSDScoringHead(chainer.Chain):
    """Some numbers for every default box, by one layer per map.

    Args:
        in_channels (sequence of int): Channels of each map.
        n_anchors (sequence of int): Boxes a place, of each map.
        n (int): Numbers per box.
        layer (callable): Makes a layer for channels in and out.

    Source:
        Liu et al. 2016 (SSD), section 2.1; torchvision 0.14 ``SSDScoringHead``.
    """

    def __init__(
        self, in_channels: Sequence[int], n_anchors: Sequence[int], n: int, layer: Callable[[int, int], Any]
    ) -> None:
        super().__init__()
        self.n = n
        with self.init_scope():
            sizes = zip(in_channels, n_anchors, strict=True)
            self.module_list = chainer.ChainList(*[layer(channels, n_boxes * n) for channels, n_boxes in sizes])

    def forward(self, hs: Variables) -> list[Variable]:
        """Compute the numbers of every map: (B, C_l, H_l, W_l) to (B, N_l, n)."""
        return [flatten_anchors(layer(h), self.n) for layer, h in zip(self.module_list, hs, strict=True)]


class SSDHead(DenseHead):
    """Both heads of SSD.

    Args:
        in_channels (sequence of int): Channels of each map.
        n_anchors (sequence of int): Boxes a place, of each map.
        n_output (int): Classes; the first is the background.
        layer (callable): Makes a layer for channels in and out; a 3x3 convolution by default.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        n_anchors: Sequence[int],
        n_output: int,
        *,
        layer: Callable[[int, int], Any] = _convolution,
    ) -> None:
        super().__init__()
        with self.init_scope():
            self.classification_head = SSDScoringHead(in_channels, n_anchors, n_output, layer)
            self.regression_head = SSDScoringHead(in_channels, n_anchors, 4, layer)


class SSD(DenseDetector):
    """Detect in one stage; of each default box the class, or background, by softmax.

    The first arguments are those of :class:`~chainfpn.links.DenseDetector`; the head is a :class:`SSDHead`, the anchors
    are those of a :class:`~chainfpn.boxes.DefaultBoxGenerator`, and ``topk_candidates`` counts per class, not per map.

    Args:
        iou_thresh (float): Smallest IoU of a positive default box with its ground truth box.
        positive_fraction (float): Share of the positives among the boxes that enter the class loss.

    Source:
        Liu et al. 2016 (SSD); torchvision 0.14 ``SSD``.
    """

    #: ChainerCV's threshold of its SSD.
    visualize_score_thresh = 0.6
    box_coder = BoxCoder((10.0, 10.0, 5.0, 5.0))

    def __init__(
        self, backbone: Any, head: Any, anchor_generator: Any, *, n_fg_class: int,
        class_ids: Sequence[int] | None = None, label_names: Labels | None = None, preprocess: Callable | None = None,
        score_thresh: float = 0.01, nms_thresh: float = 0.45, detections_per_img: int | None = 200,
        topk_candidates: int = 400, iou_thresh: float = 0.5, positive_fraction: float = 0.25,
    ) -> None:  # fmt: skip
        super().__init__(
            backbone, head, anchor_generator, n_fg_class, class_ids, label_names, preprocess,
            score_thresh, nms_thresh, detections_per_img, topk_candidates,
        )  # fmt: skip
        self.iou_thresh, self.positive_fraction = iou_thresh, positive_fraction

    def scores(self, logits: Variables) -> list[Array]:
        """Score every default box.

        Args:
            logits (list of Variable): Per map, (B, N_l, K).

        Returns:
            list of array: Per map, (B, N_l, K), probabilities, which over K sum to 1.
        """
        return [F.softmax(logit, axis=2).array for logit in logits]

    def compute_loss(
        self, logits: Variables, deltas: Variables, anchors: Arrays, gt_bboxes: Arrays, gt_classes: Arrays
    ) -> Losses:
        """Compute the class loss of positives and hard negatives, and the box loss of positives.

        Hard negative mining: of each image those negatives enter whose cross entropy is largest, a fixed number per
        positive. Where there are not as many, positives make up the number, and so count twice. Both losses are summed
        and divided by the number of positives in the batch.

        Args:
            logits (list of Variable): Per map, (B, N_l, K).
            deltas (list of Variable): Per map, (B, N_l, 4).
            anchors (sequence of array): Per map, (N_l, 4), yxyx.
            gt_bboxes (sequence of array): Per image, float, (R, 4), yxyx in pixels of the batch.
            gt_classes (sequence of array): Per image, int32, (R,), class ids > 0.

        Returns:
            dict: ``class`` and ``box``, Variables, float32 or float64, ().

        Source:
            Liu et al. 2016 (SSD), section 2.2; torchvision 0.14 ``SSD.compute_loss``.
        """
        xp = backend.get_array_module(*anchors)
        anchor = xp.concatenate(anchors)  # (N, 4)
        fraction = self.positive_fraction
        negatives_per_positive = np.float32((1 - fraction) / fraction)  # multiplied so in torch, too
        positives, rows, classes, targets = [], [], [], []
        for i, (gt_bbox, gt_class) in enumerate(zip(gt_bboxes, gt_classes, strict=True)):
            matched = match_ssd(anchor, gt_bbox, self.iou_thresh)  # (N,)
            (positive,) = xp.nonzero(matched >= 0)
            class_id = xp.zeros(len(anchor), np.int32)
            class_id[positive] = gt_class[matched[positive]]
            hardness = xp.concatenate([_background_loss(logit.array[i]) for logit in logits])  # (N,)
            hardness[positive] = -np.inf
            hard_negatives = top_k(hardness, math.ceil(negatives_per_positive * np.float32(len(positive))))
            row = xp.concatenate((positive, hard_negatives))
            positives.append(positive + i * len(anchor))
            rows.append(row + i * len(anchor))
            classes.append(class_id[row])
            targets.append(self.box_coder.encode(gt_bbox[matched[positive]], anchor[positive]))
        positive, row, class_id, target = map(xp.concatenate, (positives, rows, classes, targets))  # P, S, S, (P, 4)
        n = max(len(positive), 1)
        return {
            "class": cross_entropy(gather(logits, row), class_id, divisor=n),
            "box": smooth_l1_loss(gather(deltas, positive), target, divisor=n),
        }

    def _detect(self, scores, deltas, anchors, size, factors):
        """Turn the scores of one image into detections: threshold, best of each class, decode, clip, NMS per class.

        There are no factors.

        Source:
            torchvision 0.14 ``SSD.postprocess_detections``.
        """
        xp = self.xp
        score, delta, anchor = map(xp.concatenate, (scores, deltas, anchors))  # (N, K), (N, 4), (N, 4)
        found = yield from nonzero(self.score_thresh < score[:, 1:].T)  # (R',), class by class
        class_id, row = xp.divmod(found, len(score))
        class_id += 1
        score = score[row, class_id]
        best = yield from best_of_each(class_id, score, self.topk_candidates)  # (R,)
        row, class_id, score = row[best], class_id[best].astype(np.int32), score[best]
        bbox = clip(self.box_coder.decode(delta[row], anchor[row])[:, 0], size)  # (R, 4)
        keep = (yield from suppress(bbox, score, class_id, self.nms_thresh))[: self.detections_per_img]
        return RawDetections(bbox[keep], class_id[keep], score[keep])


def _background_loss(logit):
    """Compute the cross entropy of calling boxes background: (N_l, K) to (N_l,), at least float32."""
    logit = logit.astype(compute_dtype(logit.dtype), copy=False)
    return F.logsumexp(logit, axis=1).array - logit[:, 0]
