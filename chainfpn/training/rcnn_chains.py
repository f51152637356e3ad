"""Training of the detectors of two stages."""

import chainer.functions as F
import numpy as np
from chainer.backends import cuda

from chainfpn.links.detectors.detector import scale
from chainfpn.training.chain import TrainChain
from chainfpn.training.keypoint_loss import keypoint_loss
from chainfpn.training.mask_loss import mask_loss
from chainfpn.training.roi_loss import roi_losses, sample_proposals
from chainfpn.training.rpn_loss import rpn_losses, sample_anchors


class FasterRCNNTrainChain(TrainChain):
    """Faster R-CNN with its losses: ``rpn_objectness``, ``rpn_box``, ``roi_class`` and ``roi_box``.

    Args:
        model (chainfpn.links.FasterRCNN): The detector.
        rpn_pre_nms_top_n_train (int or None): Best-scored proposals of each level that enter NMS; the model's own
            number by default.
        rpn_post_nms_top_n_train (int or None): Proposals kept per image, likewise.
        rpn_fg_iou_thresh (float): Smallest IoU of an anchor with its object.
        rpn_bg_iou_thresh (float): IoU below which an anchor is background.
        rpn_batch_size_per_image (int): Anchors drawn per image.
        rpn_positive_fraction (float): Largest share of them with an object.
        box_fg_iou_thresh (float): Smallest IoU of a proposal with its object.
        box_bg_iou_thresh (float): IoU below which a proposal is background.
        box_batch_size_per_image (int): Proposals drawn per image.
        box_positive_fraction (float): Largest share of them with an object.
        permutation (callable): Draws, see :func:`~chainfpn.boxes.sample`.

    Source:
        torchvision 0.14 ``FasterRCNN``.
    """

    def __init__(
        self,
        model,
        *,
        rpn_pre_nms_top_n_train=None,
        rpn_post_nms_top_n_train=None,
        rpn_fg_iou_thresh=0.7,
        rpn_bg_iou_thresh=0.3,
        rpn_batch_size_per_image=256,
        rpn_positive_fraction=0.5,
        box_fg_iou_thresh=0.5,
        box_bg_iou_thresh=0.5,
        box_batch_size_per_image=512,
        box_positive_fraction=0.25,
        permutation=np.random.permutation,
    ):
        super().__init__(model)
        if rpn_pre_nms_top_n_train is not None:
            model.rpn.n_train_pre_nms = rpn_pre_nms_top_n_train
        if rpn_post_nms_top_n_train is not None:
            model.rpn.n_train_post_nms = rpn_post_nms_top_n_train
        self.rpn_options = {
            "fg_iou_thresh": rpn_fg_iou_thresh,
            "bg_iou_thresh": rpn_bg_iou_thresh,
            "batch_size_per_image": rpn_batch_size_per_image,
            "positive_fraction": rpn_positive_fraction,
            "permutation": permutation,
        }
        self.roi_options = {
            "fg_iou_thresh": box_fg_iou_thresh,
            "bg_iou_thresh": box_bg_iou_thresh,
            "batch_size_per_image": box_batch_size_per_image,
            "positive_fraction": box_positive_fraction,
            "permutation": permutation,
        }

    def losses(self, x, sizes, bboxes, outputs):
        """Compute the losses of a prepared batch: see :meth:`TrainChain.losses`."""
        losses, _, _ = self.box_losses(x, sizes, bboxes, outputs)
        return losses

    def box_losses(self, x, sizes, bboxes, outputs):
        """Compute the losses of both stages.

        Args:
            x (array): (B, 3, H, W).
            sizes (sequence of (int, int)): Height and width of each image within the batch.
            bboxes (list of array): Per image, (R_i, 4), yxyx in pixels of the batch.
            outputs (list of array): Per image, int32, (R_i,).

        Returns:
            tuple: The losses, the levels that regions are pooled from, and the list of
            :class:`~chainfpn.training.roi_loss.SampledProposals` of each image.
        """
        rpn, heads = self.model.rpn, self.model.roi_heads
        hs = self.model.backbone(x)  # levels of (B, C, H_l, W_l)
        logits, deltas = rpn.head(hs)  # levels of (B, N_l), (B, N_l, 4)
        anchors = rpn.anchors(hs, x.shape[2:])  # levels of (N_l, 4)
        proposals = rpn.propose(logits, deltas, anchors, sizes, x.shape[2:])  # images of (N_i, 4)
        drawn = sample_anchors(anchors, bboxes, rpn.box_coder, **self.rpn_options)
        losses = rpn_losses(logits, deltas, drawn)
        regions = sample_proposals(proposals, bboxes, outputs, heads.box_coder, **self.roi_options)
        hs = self.model.roi_levels(hs)
        logits, deltas = heads(hs, [region.bbox for region in regions], sizes)  # (S, K), (S, 4K)
        losses |= roi_losses(logits, deltas, regions)
        return losses, hs, regions

    def branch(self, name, hs, regions, sizes):
        """Run another branch on the regions that show something.

        Args:
            name (str): ``'mask'`` or ``'keypoint'``.
            hs (list of Variable): The levels that regions are pooled from.
            regions (list of SampledProposals): Per image.
            sizes (sequence of (int, int)): Height and width of each image within the batch.

        Returns:
            tuple: What the branch predicts, (P, ...), and whether there is such a region at all. Without one nothing
            is predicted, (0, ...), but the weights get a gradient all the same, which is zero: processes that train
            together must agree which weights have one.
        """
        bboxes = [region.bbox[region.output > 0] for region in regions]
        found = any(len(bbox) for bbox in bboxes)
        if not found:
            bboxes[0] = self.xp.zeros((1, 4), bboxes[0].dtype)
        logits = self.model.roi_heads.branch(name, hs, bboxes, sizes)
        return logits if found else logits[:0], found


class MaskRCNNTrainChain(FasterRCNNTrainChain):
    """Mask R-CNN with its losses: those of Faster R-CNN, and ``mask``.

    The arguments are those of :class:`FasterRCNNTrainChain`.

    Source:
        torchvision 0.14 ``MaskRCNN``.
    """

    def forward(self, imgs, bboxes, labels, masks):
        """Compute the loss.

        All arrays may be NumPy or CuPy, wherever the model is.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, of any sizes.
            bboxes (sequence of array): Per image, float32, (R, 4), yxyx in its pixels; R may be 0.
            labels (sequence of array): Per image, int32, (R,), in [0, n_fg_class).
            masks (sequence of array): Per image, bool, (R, H, W).

        Returns:
            Variable: float32 (float64 where Chainer is configured so), ().

        Raises:
            ValueError: if a box has no area or something is not of its shape or range.
            FloatingPointError: if a loss is not finite.
        """
        batch = self.batch(imgs, bboxes, labels)
        self.check_length("masks", masks, imgs)
        for i, (img, bbox, mask) in enumerate(zip(imgs, bboxes, masks, strict=True)):
            self.check_shape(f"masks[{i}]", mask, (len(bbox), *img.shape[1:]))
        masks = [self.xp.asarray(cuda.to_cpu(mask), dtype=bool) for mask in masks]
        return self.total(self.losses(*batch, masks))

    def losses(self, x, sizes, bboxes, outputs, masks):
        """Compute the losses of a prepared batch.

        Args:
            x (array): (B, 3, H, W).
            sizes (sequence of (int, int)): Height and width of each image within the batch.
            bboxes (list of array): Per image, (R, 4), yxyx in pixels of the batch.
            outputs (list of array): Per image, int32, (R,).
            masks (list of array): Per image, bool, (R, H_i, W_i), in pixels of the image.

        Returns:
            dict: Name to Variable, ().
        """
        losses, hs, regions = self.box_losses(x, sizes, bboxes, outputs)
        logits, found = self.branch("mask", hs, regions, sizes)  # (P, K, 28, 28)
        losses["mask"] = mask_loss(logits, regions, masks, sizes) if found else _nothing(logits)
        return losses


class KeypointRCNNTrainChain(FasterRCNNTrainChain):
    """Keypoint R-CNN with its losses: those of Faster R-CNN, and ``keypoint``.

    The arguments are those of :class:`FasterRCNNTrainChain`.

    Source:
        torchvision 0.14 ``KeypointRCNN``.
    """

    def forward(self, imgs, bboxes, labels, points, visible):
        """Compute the loss.

        All arrays may be NumPy or CuPy, wherever the model is.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, of any sizes.
            bboxes (sequence of array): Per image, float32, (R, 4), yxyx in its pixels; R may be 0.
            labels (sequence of array): Per image, int32, (R,), in [0, n_fg_class).
            points (sequence of array): Per image, float32, (R, K, 2), yx in its pixels.
            visible (sequence of array): Per image, bool or integers, (R, K): which keypoints are marked, True or > 0.

        Returns:
            Variable: float32 (float64 where Chainer is configured so), ().

        Raises:
            ValueError: if a box has no area or something is not of its shape or range.
            FloatingPointError: if a loss is not finite.
        """
        x, sizes, scaled, outputs = self.batch(imgs, bboxes, labels)
        n_keypoint = self.model.roi_heads.keypoint_predictor.n_keypoint
        self.check_length("points", points, imgs)
        self.check_length("visible", visible, imgs)
        for i, (bbox, point, seen) in enumerate(zip(bboxes, points, visible, strict=True)):
            self.check_shape(f"points[{i}]", point, (len(bbox), n_keypoint, 2))
            self.check_shape(f"visible[{i}]", seen, (len(bbox), n_keypoint))
        scales = [scale(to=size, of=img.shape[1:])[:2] for size, img in zip(sizes, imgs, strict=True)]
        points = [
            self.xp.asarray(cuda.to_cpu(point).astype(np.float32) * factor)
            for point, factor in zip(points, scales, strict=True)
        ]
        visible = [self.xp.asarray(cuda.to_cpu(seen) > 0) for seen in visible]
        return self.total(self.losses(x, sizes, scaled, outputs, points, visible))

    def losses(self, x, sizes, bboxes, outputs, points, visible):
        """Compute the losses of a prepared batch.

        Args:
            x (array): (B, 3, H, W).
            sizes (sequence of (int, int)): Height and width of each image within the batch.
            bboxes (list of array): Per image, (R, 4), yxyx in pixels of the batch.
            outputs (list of array): Per image, int32, (R,).
            points (list of array): Per image, float32, (R, K, 2), yx in pixels of the batch.
            visible (list of array): Per image, bool, (R, K).

        Returns:
            dict: Name to Variable, ().
        """
        losses, hs, regions = self.box_losses(x, sizes, bboxes, outputs)
        logits, found = self.branch("keypoint", hs, regions, sizes)  # (P, K, 56, 56)
        losses["keypoint"] = keypoint_loss(logits, regions, points, visible) if found else _nothing(logits)
        return losses


def _nothing(logits):
    """Sum no logits, in the precision of the losses."""
    return F.sum(F.cast(logits, np.promote_types(logits.dtype, np.float32)))
