"""The second stage: sampled proposals, their losses, and how predictions become detections.

Shapes: B images, C channels, H_l and W_l the size of level l, R boxes of an image, R' boxes of a batch, K classes with
the background, S sampled proposals, P positive ones among them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import chainer
import chainer.functions as F
import numpy as np
from chainer import backend

from chainfpn._option_rules import CheckedOptions, check_iou_thresholds
from chainfpn._typing import Array, Arrays, Losses, Sizes, Variable, Variables
from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.boxes.filtering import clip, find_candidates, suppress
from chainfpn.boxes.matcher import match, offsets, sample_batch
from chainfpn.functions import multi_scale_roi_align
from chainfpn.functions._gather import gather_class
from chainfpn.functions._losses import cross_entropy, smooth_l1_loss
from chainfpn.functions.kernels.geometry import LEVELS, LevelRule
from chainfpn.functions.kernels.waiting import together
from chainfpn.links.detectors.detections import RawDetections
from chainfpn.links.detectors.keypoint_head import keypointrcnn_inference, keypointrcnn_loss
from chainfpn.links.detectors.mask_head import maskrcnn_inference, maskrcnn_loss
from chainfpn.links.detectors.rpn import BETA

#: Side of the grid that boxes are pooled to for masks and keypoints.
BRANCH_OUTSIZE = 14


class SampledProposals(NamedTuple):
    """The proposals of one image that the second stage is trained on.

    Attributes:
        bbox (array): float, (S, 4), yxyx in pixels of the batch.
        class_id (array): int32, (S,), 0 for background.
        positive (array): int64, (P,), rows of the positive proposals, ascending.
        matched (array): int64, (P,), index of the ground truth box of each positive proposal.
        target (array): float, (P, 4), deltas from each positive proposal to that box.
    """

    bbox: Array
    class_id: Array
    positive: Array
    matched: Array
    target: Array

    @property
    def positive_bbox(self) -> Array:
        """array: The positive proposals, (P, 4)."""
        return self.bbox[self.positive]


def fastrcnn_loss(
    logits: Variable, deltas: Variable, sampled: Sequence[SampledProposals], *, beta: float = BETA
) -> Losses:
    """Compute the losses of classes and boxes, the latter of the true class alone, divided by the number of proposals.

    Args:
        logits (Variable): (S of all images, K), the first image's first.
        deltas (Variable): (S of all images, 4K), or (S of all images, 4) for boxes of any class.
        sampled (sequence of SampledProposals): Per image.
        beta (float): See ``smooth_l1_beta`` of :class:`RoIHeads`.

    Returns:
        dict: ``roi_class`` and ``roi_box``, Variables, float32 or float64, ().

    Source:
        Girshick 2015, section 2.3; torchvision 0.14 ``fastrcnn_loss``.
    """
    xp = backend.get_array_module(sampled[0].class_id)
    class_id = xp.concatenate([image.class_id for image in sampled])  # (S,)
    starts = np.cumsum([0, *(len(image.class_id) for image in sampled)])[:-1]
    positive = xp.concatenate([image.positive + start for image, start in zip(sampled, starts, strict=True)])  # (P,)
    target = xp.concatenate([image.target for image in sampled])  # (P, 4)
    box_class = class_id[positive] if deltas.shape[1] > 4 else xp.zeros_like(positive)  # (P,)
    found = gather_class(deltas, positive, box_class, (4,))  # (P, 4)
    n_proposals = max(len(logits), 1)
    return {
        "roi_class": cross_entropy(logits, class_id, divisor=n_proposals),
        "roi_box": smooth_l1_loss(found, target, beta=beta, divisor=n_proposals),
    }


class RoIHeads(CheckedOptions, chainer.Chain):
    """Pool proposals from the pyramid, classify them and refine their boxes; add masks or keypoints.

    Every argument is an attribute, too.

    Args:
        box_head (callable): Pooled features (R', C, outsize, outsize) to representations (R', D).
        box_predictor (callable): Representations to class logits and deltas.
        fg_iou_thresh (float): Smallest IoU of a positive proposal with its ground truth box.
        bg_iou_thresh (float): IoU below which a proposal is background.
        batch_size_per_image (int): Proposals sampled per image.
        positive_fraction (float): Largest share of positives among them.
        bbox_reg_weights (sequence of float): See :class:`~chainfpn.boxes.BoxCoder`.
        score_thresh (float): Only detections with a score above it are kept.
        nms_thresh (float): IoU above which the lower-scored of two detections of a class goes.
        detections_per_img (int or None): Most detections per image; None keeps all.
        outsize (int): Side of the grid that a proposal is pooled to.
        sampling_ratio (int): Samples per bin and axis; 0 adapts to the size of the proposal.
        min_size (float): Smallest side of a detection in pixels.
        inclusive (bool): A detection also stays if its score equals the threshold, and also goes if its IoU with a
            better one equals the threshold.
        aligned (bool): Whether pixel centres lie at .5 when proposals are pooled, see
            :func:`~chainfpn.functions.roi_align`.
        level_rule (sequence of float): Which level a proposal is pooled from, a :class:`LevelRule`.
        min_log_scale (float or None): See :class:`~chainfpn.boxes.BoxCoder`.
        smooth_l1_beta (float): Error up to which the box loss is a square; 0 makes it the absolute error.
        nms_in_photograph (bool): Overlaps are those of the boxes in the photograph, not in the batch, unless there are
            masks: other roundings.
        keypoint_probabilities (bool): The score of a keypoint is exp(highest logit) / sum of exp(logits) of its heat
            map, of which the highest is that of the enlarged map; otherwise the highest logit itself.
        mask_head (callable or None): Pooled features of boxes, (R', C, 14, 14), to those of the masks.
        mask_predictor (callable or None): Features of the masks to mask logits.
        keypoint_head (callable or None): As ``mask_head``, for keypoints.
        keypoint_predictor (callable or None): Features of the keypoints to heat maps.

    Attributes:
        permutation (callable): Draws the sample, see :func:`~chainfpn.boxes.sample`.

    Raises:
        InvalidArgument: if an argument is out of its range, here or when it is set later.

    Source:
        Lin et al. 2017, section 4.2; torchvision 0.14 ``RoIHeads``, ``FasterRCNN`` (the numbers).
    """

    permutation: Any = staticmethod(np.random.permutation)

    def __init__(
        self, box_head: Any, box_predictor: Any, *, fg_iou_thresh: float = 0.5, bg_iou_thresh: float = 0.5,
        batch_size_per_image: int = 512, positive_fraction: float = 0.25,
        bbox_reg_weights: Sequence[float] = (10.0, 10.0, 5.0, 5.0), score_thresh: float = 0.05,
        nms_thresh: float = 0.5, detections_per_img: int | None = 100, outsize: int = 7, sampling_ratio: int = 2,
        min_size: float = 1e-2, inclusive: bool = False, aligned: bool = False, level_rule: LevelRule = LEVELS,
        min_log_scale: float | None = None, smooth_l1_beta: float = BETA, nms_in_photograph: bool = False,
        keypoint_probabilities: bool = False, mask_head: Any = None, mask_predictor: Any = None,
        keypoint_head: Any = None, keypoint_predictor: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.fg_iou_thresh, self.bg_iou_thresh = fg_iou_thresh, bg_iou_thresh
        check_iou_thresholds(type(self).__name__, fg_iou_thresh, bg_iou_thresh)
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction
        self.bbox_reg_weights = bbox_reg_weights
        self.score_thresh, self.nms_thresh, self.detections_per_img = score_thresh, nms_thresh, detections_per_img
        self.outsize, self.sampling_ratio = outsize, sampling_ratio
        self.min_size, self.inclusive = min_size, inclusive
        self.aligned, self.level_rule = aligned, level_rule
        self.min_log_scale, self.smooth_l1_beta = min_log_scale, smooth_l1_beta
        self.nms_in_photograph, self.keypoint_probabilities = nms_in_photograph, keypoint_probabilities
        with self.init_scope():
            self.box_head, self.box_predictor = box_head, box_predictor
            self.mask_head, self.mask_predictor = mask_head, mask_predictor
            self.keypoint_head, self.keypoint_predictor = keypoint_head, keypoint_predictor

    @property
    def box_coder(self) -> BoxCoder:
        """BoxCoder: Between boxes and deltas, by ``bbox_reg_weights`` and ``min_log_scale``."""
        return BoxCoder(self.bbox_reg_weights, min_log_scale=self.min_log_scale)

    def forward(self, hs: Variables, proposals: Arrays, sizes: Sizes) -> tuple[Variable, Variable]:
        """Classify and refine the proposals of a batch.

        Args:
            hs (list of Variable): The levels that proposals are pooled from, (B, C, H_l, W_l), finest first.
            proposals (sequence of array): Per image, (R, 4), yxyx in pixels of the batch.
            sizes (list of (int, int)): Height and width of each image within the batch.

        Returns:
            tuple of Variable: Class logits (R', K) and deltas (R', 4K), or (R', 4) for boxes of any class; the
            proposals of the first image first.
        """
        pooled = self.pool(hs, proposals, sizes, self.outsize)  # (R', C, outsize, outsize)
        return self.box_predictor(self.box_head(pooled))

    def pool(self, hs: Variables, bboxes: Arrays, sizes: Sizes, outsize: int) -> Variable:
        """Pool the boxes of each image from the level that their size asks for; see also :meth:`forward`.

        Args:
            bboxes (sequence of array): Per image, (R, 4), yxyx.
            outsize (int): Side of the grid.

        Returns:
            Variable: (R', C, outsize, outsize).
        """
        roi_indices = np.repeat(np.arange(len(bboxes), dtype=np.int32), [len(bbox) for bbox in bboxes])  # (R',)
        rois, roi_indices = self.xp.concatenate(bboxes), self.xp.asarray(roi_indices)  # (R', 4), (R',)
        return multi_scale_roi_align(
            hs, rois, roi_indices, outsize, sizes, sampling_ratio=self.sampling_ratio, aligned=self.aligned,
            **self.level_rule._asdict(),
        )  # fmt: skip

    def mask_branch(self, hs: Variables, bboxes: Arrays, sizes: Sizes) -> Variable:
        """Predict masks; the arguments are those of :meth:`pool`.

        Returns:
            Variable: Logits, (R', K, 28, 28).
        """
        return self._branch(self.mask_head, self.mask_predictor, hs, bboxes, sizes)

    def keypoint_branch(self, hs: Variables, bboxes: Arrays, sizes: Sizes) -> Variable:
        """Predict heat maps of keypoints; the arguments are those of :meth:`pool`.

        Returns:
            Variable: Logits, (R', number of keypoints, 56, 56).
        """
        return self._branch(self.keypoint_head, self.keypoint_predictor, hs, bboxes, sizes)

    def _branch(self, head, predictor, hs, bboxes, sizes):
        """Run a head and predictor on boxes.

        Of no box at all the result is empty, but the weights get a gradient of zero all the same: processes that train
        together must agree which weights have one.
        """
        n_boxes = sum(map(len, bboxes))
        if n_boxes == 0:
            bboxes = [self.xp.zeros((1, 4), bboxes[0].dtype), *bboxes[1:]]
        logits = predictor(head(self.pool(hs, bboxes, sizes, BRANCH_OUTSIZE)))
        return logits if n_boxes else logits[:0]

    def losses(
        self, hs: Variables, proposals: Arrays, sizes: Sizes, gt_bboxes: Arrays, gt_classes: Arrays, *,
        masks: Arrays | None = None, points: Arrays | None = None, visible: Arrays = (),
    ) -> Losses:  # fmt: skip
        """Compute the losses over a sample of the proposals; see also :meth:`forward`.

        Args:
            gt_bboxes (sequence of array): Ground truth of each image, float, (R, 4), yxyx in pixels of the batch.
            gt_classes (sequence of array): int32, (R,), class ids > 0.
            masks (sequence of array or None): bool, (R, H, W), in pixels of the image; needs a ``mask_head``.
            points (sequence of array or None): float32, (R, number of keypoints, 2), yx in pixels of the batch; needs a
                ``keypoint_head``.
            visible (sequence of array): With points, bool, (R, number of keypoints).

        Returns:
            dict: ``roi_class``, ``roi_box``, and ``mask`` or ``keypoint`` where there is such ground truth, Variables,
            float32 or float64, ().
        """
        sampled = self.sample_proposals(proposals, gt_bboxes, gt_classes)
        logits, deltas = self(hs, [image.bbox for image in sampled], sizes)  # (S of all images, K), (..., 4K)
        losses = fastrcnn_loss(logits, deltas, sampled, beta=self.smooth_l1_beta)
        positives = [image.positive_bbox for image in sampled]  # images of (P, 4)
        if masks is not None:
            losses["mask"] = maskrcnn_loss(self.mask_branch(hs, positives, sizes), sampled, masks, sizes)
        if points is not None:
            losses["keypoint"] = keypointrcnn_loss(self.keypoint_branch(hs, positives, sizes), sampled, points, visible)
        return losses

    def sample_proposals(self, proposals: Arrays, gt_bboxes: Arrays, gt_classes: Arrays) -> list[SampledProposals]:
        """Match proposals, and the ground truth boxes as well, with the ground truth, and sample positives and others.

        The arguments are those of :meth:`losses`; the sample has the dtype of the ground truth.

        Returns:
            list of SampledProposals: Per image, in the order of the proposals.

        Raises:
            InvalidArgument: if not bg_iou_thresh <= fg_iou_thresh.

        Source:
            Girshick 2015, section 2.3; torchvision 0.14 ``RoIHeads.select_training_samples``.
        """
        xp, images = self.xp, []
        bboxes = [
            xp.concatenate((proposal.astype(gt_bbox.dtype, copy=False), gt_bbox))
            for proposal, gt_bbox in zip(proposals, gt_bboxes, strict=True)
        ]
        each = [
            match(bbox, gt_bbox, fg_iou_thresh=self.fg_iou_thresh, bg_iou_thresh=self.bg_iou_thresh)
            for bbox, gt_bbox in zip(bboxes, gt_bboxes, strict=True)
        ]
        bbox, matched = xp.concatenate(bboxes), xp.concatenate(each)  # (R', 4), (R',)
        positive, negative, n_positives, n_negatives = sample_batch(
            matched, [*map(len, each)], self.batch_size_per_image, self.positive_fraction, permutation=self.permutation
        )
        rows = xp.sort(xp.concatenate((positive, negative)))  # (S,)
        matched, bbox, positive_bbox = matched[positive], bbox[rows], bbox[positive]  # (P,), (S, 4), (P, 4)
        gt = matched + offsets(gt_bboxes, n_positives, xp)  # (P,)
        target = self.box_coder.encode(xp.concatenate(gt_bboxes)[gt], positive_bbox)  # (P, 4)
        class_id, positive = xp.zeros(len(rows), np.int32), xp.searchsorted(rows, positive)
        class_id[positive] = xp.concatenate(gt_classes)[gt]
        start = first = 0
        for n_positive, n_negative in zip(n_positives, n_negatives, strict=True):
            s, p = slice(start, start + n_positive + n_negative), slice(first, first + n_positive)
            image = SampledProposals(bbox[s], class_id[s], positive[p] - start, matched[p], target[p])
            images.append(image)
            start, first = s.stop, p.stop
        return images

    def detect(self, hs: Variables, proposals: Arrays, sizes: Sizes) -> list[RawDetections]:
        """Turn the proposals of a batch into detections; the arguments are those of :meth:`forward`.

        Returns:
            list of RawDetections: One per image, with masks or keypoints where there are such heads.
        """
        logits, deltas = self(hs, proposals, sizes)  # (R', K), (R', 4K)
        detections = self.postprocess_detections(logits, deltas, proposals, sizes)
        bboxes = [found.bbox for found in detections]
        if self.mask_head is not None:
            detections = maskrcnn_inference(self.mask_branch(hs, bboxes, sizes).array, detections)
        if self.keypoint_head is not None:
            heat = self.keypoint_branch(hs, bboxes, sizes).array
            detections = keypointrcnn_inference(heat, detections, probabilities=self.keypoint_probabilities)
        return detections

    def postprocess_detections(
        self, logits: Variable, deltas: Variable, proposals: Arrays, sizes: Sizes
    ) -> list[RawDetections]:
        """Turn predictions into detections: softmax, decode, clip, threshold, NMS per class, keep the best.

        The arguments are what :meth:`forward` returns and was given.

        Returns:
            list of RawDetections: One per image.

        Source:
            torchvision 0.14 ``RoIHeads.postprocess_detections``.
        """
        scores = F.softmax(logits).array  # (R', K)
        bboxes = self.box_coder.decode(deltas.array, self.xp.concatenate(proposals))  # (R', K, 4)
        return self.select_detections(scores, bboxes, proposals, sizes)

    def select_detections(self, scores: Array, bboxes: Array, proposals: Arrays, sizes: Sizes) -> list[RawDetections]:
        """Clip, threshold, suppress and keep the best; see also :meth:`postprocess_detections`.

        Args:
            scores (array): float, (R', K).
            bboxes (array): float, (R', K, 4) or, for boxes of any class, (R', 1, 4), yxyx.

        Returns:
            list of RawDetections: One per image.
        """
        if bboxes.shape[1] == 1:
            bboxes = self.xp.repeat(bboxes, scores.shape[1], axis=1)
        ends = np.cumsum([len(proposal) for proposal in proposals])[:-1].tolist()
        images = zip(self.xp.split(scores, ends), self.xp.split(bboxes, ends), sizes, strict=True)
        return together([self._select(*image) for image in images])

    def _select(self, scores, bboxes, size):
        """Select the detections of one image."""
        row, class_id = yield from find_candidates(
            bboxes[:, 1:], scores[:, 1:], size,
            score_thresh=self.score_thresh, min_size=self.min_size, inclusive=self.inclusive,
        )  # fmt: skip
        class_id += 1
        bbox, score = clip(bboxes[row, class_id], size), scores[row, class_id]  # (R, 4), (R,)
        class_id = class_id.astype(np.int32)
        in_photograph = self.nms_in_photograph and self.mask_head is None
        seen = bbox / self._enlarged(size, bbox.dtype) if in_photograph else bbox
        keep = yield from suppress(seen, score, class_id, self.nms_thresh, inclusive=self.inclusive)
        keep = keep[: self.detections_per_img]
        return RawDetections(bbox[keep], class_id[keep], score[keep])

    def _enlarged(self, size, dtype):
        """Return by what the yxyx boxes of an image were multiplied when it was resized, (4,)."""
        factors = np.array(size, dtype) / np.array(getattr(size, "photograph", size), dtype)
        return self.xp.asarray(np.tile(factors, 2))
