"""RetinaNet: every anchor of every level classified and shifted in one go."""

from types import MappingProxyType

import chainer
import chainer.functions as F

from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.links.detectors.dense_head import classification, detect_per_level, per_anchor, prediction, tower
from chainfpn.links.detectors.detector import Detector


class RetinaNetClassificationHead(chainer.Chain):
    """Class logits of every anchor.

    Args:
        channels (int): Channels of the pyramid.
        n_anchors (int): Anchors per position.
        n_output (int): Outputs per anchor.
        norm (callable or None): Makes a normalization link for a number of channels.

    Source:
        Lin et al. 2017 (RetinaNet), section 4; torchvision 0.14 ``RetinaNetClassificationHead``.
    """

    def __init__(self, channels, n_anchors, n_output, *, norm=None):
        super().__init__()
        self.n_output = n_output
        with self.init_scope():
            self.conv = tower(channels, norm=norm, nobias=norm is not None, nested=norm is not None)
            self.cls_logits = classification(channels, n_anchors * n_output)

    def forward(self, hs):
        """Classify.

        Args:
            hs (list of Variable): (B, C, H_l, W_l).

        Returns:
            list of Variable: Per level, (B, H_l * W_l * A, n_output).
        """
        return [per_anchor(self.cls_logits(self.conv(h)), self.n_output) for h in hs]


class RetinaNetRegressionHead(chainer.Chain):
    """Deltas of every anchor.

    Args:
        channels (int): Channels of the pyramid.
        n_anchors (int): Anchors per position.
        norm (callable or None): Makes a normalization link for a number of channels.

    Source:
        Lin et al. 2017 (RetinaNet), section 4; torchvision 0.14 ``RetinaNetRegressionHead``.
    """

    def __init__(self, channels, n_anchors, *, norm=None):
        super().__init__()
        with self.init_scope():
            self.conv = tower(channels, norm=norm, nobias=norm is not None, nested=norm is not None)
            self.bbox_reg = prediction(channels, n_anchors * 4)

    def forward(self, hs):
        """Shift.

        Args:
            hs (list of Variable): (B, C, H_l, W_l).

        Returns:
            list of Variable: Per level, (B, H_l * W_l * A, 4): dx, dy, dw, dh.
        """
        return [per_anchor(self.bbox_reg(self.conv(h)), 4) for h in hs]


class RetinaNetHead(chainer.Chain):
    """Both heads of RetinaNet.

    Args:
        channels (int): Channels of the pyramid.
        n_anchors (int): Anchors per position.
        n_output (int): Outputs per anchor.
        norm (callable or None): Makes a normalization link for a number of channels.
    """

    def __init__(self, channels, n_anchors, n_output, *, norm=None):
        super().__init__()
        with self.init_scope():
            self.classification_head = RetinaNetClassificationHead(channels, n_anchors, n_output, norm=norm)
            self.regression_head = RetinaNetRegressionHead(channels, n_anchors, norm=norm)

    def forward(self, hs):
        """Classify and shift every anchor.

        Args:
            hs (list of Variable): (B, C, H_l, W_l).

        Returns:
            tuple of two lists of Variable: Per level, logits (B, N_l, n_output) and deltas (B, N_l, 4).
        """
        return self.classification_head(hs), self.regression_head(hs)


class RetinaNet(Detector):
    """Detect in one stage, with a sigmoid per class.

    Args:
        backbone (callable): Batch (B, 3, H, W) to a list of maps, finest first.
        head (callable): A :class:`RetinaNetHead`.
        anchor_generator (callable): An :class:`~chainfpn.boxes.AnchorGenerator`.
        n_fg_class (int): Number of labels, background excluded.
        raw_labels (sequence of int or None): See :class:`~chainfpn.links.Detector`.
        label_names (sequence of str or None): See :class:`~chainfpn.links.Detector`.
        preparation (callable or None): See :class:`~chainfpn.links.Detector`.
        n_candidates (int): Most candidates per level.
        n_detections (int): Most detections per image.

    Source:
        Lin et al. 2017 (RetinaNet); torchvision 0.14 ``RetinaNet``.
    """

    presets = MappingProxyType({"evaluate": (0.05, 0.5), "visualize": (0.5, 0.5)})

    def __init__(
        self,
        backbone,
        head,
        anchor_generator,
        *,
        n_fg_class,
        raw_labels=None,
        label_names=None,
        preparation=None,
        n_candidates=1000,
        n_detections=300,
    ):
        super().__init__(n_fg_class=n_fg_class, raw_labels=raw_labels, label_names=label_names, preparation=preparation)
        self.anchor_generator = anchor_generator
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.n_candidates = n_candidates
        self.n_detections = n_detections
        with self.init_scope():
            self.backbone = backbone
            self.head = head

    def forward(self, x, sizes):
        """Detect objects in a prepared batch.

        Args:
            x (Variable): (B, 3, H, W).
            sizes (sequence of (int, int)): Height and width of each image within the batch.

        Returns:
            list of Detection: One per image, in the pixels of the batch.
        """
        hs = self.backbone(x)  # levels of (B, C, H_l, W_l)
        logits, deltas = self.head(hs)  # levels of (B, N_l, K), (B, N_l, 4)
        return detect_per_level(
            [F.sigmoid(logit).array for logit in logits],
            [delta.array for delta in deltas],
            self.anchor_generator([h.shape[2:] for h in hs], x.shape[2:], self.xp),
            sizes,
            box_coder=self.box_coder,
            score_thresh=self.score_thresh,
            nms_thresh=self.nms_thresh,
            n_candidates=self.n_candidates,
            n_detections=self.n_detections,
        )
