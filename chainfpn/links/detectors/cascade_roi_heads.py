"""The heads of a cascade: each refines the boxes of the one before, and is trained for a higher IoU.

Shapes: B images, C channels, H_l and W_l the size of level l, R boxes of an image, R' boxes of a batch, K classes with
the background.
"""

from collections.abc import Sequence
from typing import Any

import chainer
import chainer.functions as F
from chainer import backend

from chainfpn._option_rules import CheckedOptions
from chainfpn._typing import Array, Arrays, Losses, Sizes, Variable, Variables
from chainfpn.boxes.filtering import clip
from chainfpn.errors import InvalidArgument
from chainfpn.links.detectors.detections import RawDetections, split_by_image
from chainfpn.links.detectors.mask_head import maskrcnn_inference, maskrcnn_loss
from chainfpn.links.detectors.roi_heads import RoIHeads, SampledProposals, fastrcnn_loss


def _of_stages(name):
    """Make a property that all stages have alike."""

    def set_all(self, value):
        for stage in self:
            setattr(stage, name, value)

    return property(lambda self: getattr(self[0], name), set_all)


class CascadeRoIHeads(CheckedOptions, chainer.ChainList):
    """Refine and classify proposals in stages; add masks.

    Stage 0, 1, ... is a :class:`~chainfpn.links.RoIHeads` of its own, whose predictor gives one box for all classes.
    The boxes of a stage, clipped to the image, are the proposals of the next. Scores are the mean over the stages,
    boxes those of the last; masks are the mean over the stages that have a mask head. The names of weights are those of
    ``RoIHeads`` behind the number of the stage: ``0/box_head/fc6/W``, ``2/box_predictor/bbox_pred/W``.

    What all stages share (``score_thresh``, ``nms_thresh``, ``detections_per_img``, ``batch_size_per_image``,
    ``positive_fraction``, ``permutation``, ...) can be read and set here; IoU thresholds and weights of a coder at the
    stage.

    Args:
        *stages (RoIHeads): The first to the last.
        average_logits (bool): Average the logits, not the probabilities.
        stage_loss_weights (sequence of float): Factor of the losses of each stage.

    Raises:
        InvalidArgument: if an argument is out of its range, here or when it is set later.

    Source:
        Cai and Vasconcelos 2018; detectron2 0.6 ``CascadeROIHeads`` (mean of probabilities, one mask head); mmdetection
        3.3 ``CascadeRoIHead`` (mean of logits, a mask head a stage, the weights of losses).
    """

    score_thresh = _of_stages("score_thresh")
    nms_thresh = _of_stages("nms_thresh")
    detections_per_img = _of_stages("detections_per_img")
    min_size = _of_stages("min_size")
    inclusive = _of_stages("inclusive")
    batch_size_per_image = _of_stages("batch_size_per_image")
    positive_fraction = _of_stages("positive_fraction")
    outsize = _of_stages("outsize")
    sampling_ratio = _of_stages("sampling_ratio")
    permutation = _of_stages("permutation")

    def __init__(
        self, *stages: RoIHeads, average_logits: bool = False, stage_loss_weights: Sequence[float] = (1.0, 0.5, 0.25)
    ) -> None:
        super().__init__(*stages)
        self.average_logits, self.stage_loss_weights = average_logits, stage_loss_weights
        if not 0 < len(stages) == len(stage_loss_weights):
            rule = f"have {len(stage_loss_weights)} entries, one per weight of a loss"
            raise InvalidArgument("CascadeRoIHeads", "stages", rule, stages, got=str(len(stages)))

    def forward(self, hs: Variables, proposals: Arrays, sizes: Sizes) -> tuple[Array, list[Array]]:
        """Classify and refine the proposals of a batch.

        Args:
            hs (list of Variable): The levels that proposals are pooled from, (B, C, H_l, W_l), finest first.
            proposals (sequence of array): Per image, (R, 4), yxyx in pixels of the batch.
            sizes (list of (int, int)): Height and width of each image within the batch.

        Returns:
            tuple: Probabilities, (R', K), the proposals of the first image first, and per image the boxes of the last
            stage, (R, 4).
        """
        outputs, bboxes = [], [*proposals]  # images of (R, 4)
        for stage in self:
            logits, deltas = stage(hs, bboxes, sizes)  # (R', K), (R', 4)
            outputs.append(logits if self.average_logits else F.softmax(logits))  # (R', K)
            bboxes = refine(stage, deltas, bboxes, sizes)  # images of (R, 4)
        mean = sum(output.array for output in outputs) / len(outputs)  # (R', K)
        return F.softmax(mean).array if self.average_logits else mean, bboxes

    def detect(self, hs: Variables, proposals: Arrays, sizes: Sizes) -> Sequence[RawDetections]:
        """Turn the proposals of a batch into detections; the arguments are those of :meth:`forward`.

        Returns:
            sequence of RawDetections: One per image, with masks where there is a mask head.
        """
        scores, refined = self(hs, proposals, sizes)  # (R', K), images of (R, 4)
        detections = self[0].select_detections(scores, self.xp.concatenate(refined)[:, None], refined, sizes)
        return self.add_masks(hs, detections, sizes)

    def add_masks(self, hs: Variables, detections: Sequence[RawDetections], sizes: Sizes) -> Sequence[RawDetections]:
        """Add the mean of the masks that the stages predict; see also :meth:`forward`.

        Args:
            detections (sequence of RawDetections): Per image.

        Returns:
            sequence of RawDetections: With masks if there is a mask head.
        """
        bboxes = [found.bbox for found in detections]
        masked = [
            maskrcnn_inference(stage.mask_branch(hs, bboxes, sizes).array, detections)
            for stage in self
            if stage.mask_head is not None
        ]  # stages of images
        if not masked:
            return detections
        return [
            found[0]._replace(mask=sum(stage.mask for stage in found) / len(found))
            for found in zip(*masked, strict=True)
        ]

    def losses(
        self, hs: Variables, proposals: Arrays, sizes: Sizes, gt_bboxes: Arrays, gt_classes: Arrays, *,
        masks: Arrays | None = None,
    ) -> Losses:  # fmt: skip
        """Compute the losses of every stage over a sample of its proposals; see also :meth:`forward`.

        Each stage samples from the boxes that the one before made of its own sample, and from the ground truth boxes.

        Args:
            gt_bboxes (sequence of array): Ground truth of each image, float, (R, 4), yxyx in pixels of the batch.
            gt_classes (sequence of array): int32, (R,), class ids > 0.
            masks (sequence of array or None): bool, (R, H, W), in pixels of the image.

        Returns:
            dict: ``roi_class_stage0``, ``roi_box_stage0``, with masks ``mask_stage0``, and so on for each stage, times
            its weight: Variables, float32 or float64, ().
        """
        losses: Losses = {}
        for i, (stage, weight) in enumerate(zip(self, self.stage_loss_weights, strict=True)):
            sampled = stage.sample_proposals(proposals, gt_bboxes, gt_classes)
            bboxes = [image.bbox for image in sampled]
            logits, deltas = stage(hs, bboxes, sizes)  # (S of all images, K), (S of all images, 4)
            own = fastrcnn_loss(logits, deltas, sampled, beta=stage.smooth_l1_beta)
            if masks is not None and stage.mask_head is not None:
                positives = [image.positive_bbox for image in sampled]
                own["mask"] = maskrcnn_loss(stage.mask_branch(hs, positives, sizes), sampled, masks, sizes)
            losses |= {f"{name}_stage{i}": weight * loss for name, loss in own.items()}
            refined = refine(stage, deltas, bboxes, sizes)
            proposals = [bbox[~_is_gt(image)] for bbox, image in zip(refined, sampled, strict=True)]
        return losses


def refine(stage: Any, deltas: Variable, proposals: Arrays, sizes: Sizes) -> list[Array]:
    """Apply deltas to proposals, and clip; the result has no gradient.

    Args:
        stage (RoIHeads): Its coder.
        deltas (Variable): (R', 4), the proposals of the first image first.
        proposals (sequence of array): Per image, (R, 4), yxyx in pixels of the batch.
        sizes (list of (int, int)): Height and width of each image within the batch.

    Returns:
        list of array: As proposals, in the dtype of deltas, but float32 at least.
    """
    bbox = stage.box_coder.decode(deltas.array, stage.xp.concatenate(proposals))[:, 0]  # (R', 4)
    return [clip(part, size) for part, size in zip(split_by_image(bbox, proposals), sizes, strict=True)]


def _is_gt(sampled: SampledProposals) -> Array:
    """Return which boxes of a sample are ground truth boxes: bool, (S,). The next stage gets these anew."""
    is_gt = backend.get_array_module(sampled.bbox).zeros(len(sampled.bbox), bool)
    is_gt[sampled.positive] = (sampled.target == 0).all(axis=1)
    return is_gt
