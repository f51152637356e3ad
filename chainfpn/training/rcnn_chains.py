"""Training of the detectors of two stages."""

import chainer
import numpy as np

from chainfpn.training.chain import TrainChain
from chainfpn.training.roi_loss import draw_regions, roi_losses
from chainfpn.training.rpn_loss import rpn_losses


class FasterRCNNTrainChain(TrainChain):
    """Faster R-CNN with its losses: ``rpn_objectness``, ``rpn_box``, ``roi_class`` and ``roi_box``.

    Args:
        model (chainfpn.links.FasterRCNN): The detector.
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
            :class:`~chainfpn.training.roi_loss.Regions` of each image.
        """
        rpn, heads = self.model.rpn, self.model.roi_heads
        hs = self.model.backbone(x)  # levels of (B, C, H_l, W_l)
        logits, deltas = rpn.head(hs)  # levels of (B, N_l), (B, N_l, 4)
        anchors = rpn.anchors(hs, x.shape[2:])  # levels of (N_l, 4)
        proposals = rpn.propose(_precise(logits), _precise(deltas), anchors, sizes)  # images of (N_i, 4)
        losses = rpn_losses(logits, deltas, anchors, bboxes, rpn.box_coder, **self.rpn_options)
        regions = draw_regions(proposals, bboxes, outputs, **self.roi_options)
        hs = self.model.roi_levels(hs)
        logits, deltas = heads(hs, [region.bbox for region in regions], sizes)  # (S, K), (S, 4K)
        losses |= roi_losses(logits, deltas, regions, bboxes, heads.box_coder)
        return losses, hs, regions


def _precise(xs):
    """Detach the head's output; boxes in float16 would be off by a pixel, and their areas overflow."""
    return [chainer.Variable(x.array.astype(np.promote_types(x.dtype, np.float32), copy=False)) for x in xs]
