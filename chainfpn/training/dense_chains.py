"""Training of the detectors of one stage."""

from chainfpn.training.chain import TrainChain
from chainfpn.training.fcos_loss import fcos_losses
from chainfpn.training.retinanet_loss import BOX_LOSSES, retinanet_losses
from chainfpn.training.ssd_loss import ssd_losses


class DenseTrainChain(TrainChain):
    """Base of the chains of detectors that decide at every anchor in one go.

    Args:
        model (chainfpn.links.DenseDetector): The detector.
    """

    def losses(self, x, sizes, bboxes, outputs):
        """Compute the losses of a prepared batch: see :meth:`TrainChain.losses`."""
        hs = self.model.backbone(x)  # levels of (B, C, H_l, W_l)
        predictions = self.model.head(hs)  # lists of levels of (B, N_l, ...)
        anchors = self.model.anchor_generator([h.shape[2:] for h in hs], x.shape[2:], self.xp)  # levels of (N_l, 4)
        return self.head_losses(predictions, anchors, bboxes, outputs)

    def head_losses(self, predictions, anchors, bboxes, outputs):
        """Compute the losses of what the head says.

        Args:
            predictions (tuple of lists of Variable): What the head returns, per level.
            anchors (list of array): Per level, (N_l, 4), yxyx.
            bboxes (list of array): Per image, (R_i, 4), yxyx in pixels of the batch.
            outputs (list of array): Per image, int32, (R_i,).

        Returns:
            dict: Name to Variable, ().
        """
        raise NotImplementedError(f"{type(self).__name__}: head_losses must be defined by the class")


class RetinaNetTrainChain(DenseTrainChain):
    """RetinaNet with its losses: ``class`` and ``box``.

    Args:
        model (chainfpn.links.RetinaNet): The detector.
        fg_iou_thresh (float): Smallest IoU of an anchor with its object.
        bg_iou_thresh (float): IoU below which an anchor is background.
        box_loss (str or None): ``'l1'`` or ``'giou'``, see
            :func:`~chainfpn.training.retinanet_loss.retinanet_losses`; the head's own by default.

    Raises:
        ValueError: if box_loss is another word.

    Source:
        torchvision 0.14 ``RetinaNet``.
    """

    def __init__(self, model, *, fg_iou_thresh=0.5, bg_iou_thresh=0.4, box_loss=None):
        super().__init__(model)
        box_loss = model.head.box_loss if box_loss is None else box_loss
        if box_loss not in BOX_LOSSES:
            raise ValueError(
                f"{type(self).__name__}: box_loss must be one of {', '.join(BOX_LOSSES)}, got {box_loss!r}"
            )
        self.options = {"fg_iou_thresh": fg_iou_thresh, "bg_iou_thresh": bg_iou_thresh, "box_loss": box_loss}

    def head_losses(self, predictions, anchors, bboxes, outputs):
        """Compute the losses of what the head says: see :meth:`DenseTrainChain.head_losses`."""
        return retinanet_losses(*predictions, anchors, bboxes, outputs, self.model.box_coder, **self.options)


class FCOSTrainChain(DenseTrainChain):
    """FCOS with its losses: ``class``, ``box`` and ``centerness``.

    Args:
        model (chainfpn.links.FCOS): The detector.
        center_sampling_radius (float): How many strides from the centre of an object it is looked for.

    Source:
        torchvision 0.14 ``FCOS``.
    """

    def __init__(self, model, *, center_sampling_radius=1.5):
        super().__init__(model)
        self.options = {"center_sampling_radius": center_sampling_radius}

    def head_losses(self, predictions, anchors, bboxes, outputs):
        """Compute the losses of what the head says: see :meth:`DenseTrainChain.head_losses`."""
        return fcos_losses(*predictions, anchors, bboxes, outputs, self.model.box_coder, **self.options)


class SSDTrainChain(DenseTrainChain):
    """SSD with its losses: ``class`` and ``box``.

    Args:
        model (chainfpn.links.SSD): The detector.
        iou_thresh (float): Smallest IoU of a default box with its object.
        positive_fraction (float): Share of the boxes with an object among those that enter the loss of the classes.

    Source:
        torchvision 0.14 ``SSD``.
    """

    def __init__(self, model, *, iou_thresh=0.5, positive_fraction=0.25):
        super().__init__(model)
        self.options = {"iou_thresh": iou_thresh, "positive_fraction": positive_fraction}

    def head_losses(self, predictions, anchors, bboxes, outputs):
        """Compute the losses of what the head says: see :meth:`DenseTrainChain.head_losses`."""
        return ssd_losses(*predictions, anchors, bboxes, outputs, self.model.box_coder, **self.options)
