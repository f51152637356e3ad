"""RetinaNet: every anchor of every level classified and shifted in one go."""

from types import MappingProxyType

import chainer
import chainer.functions as F

from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.links.detectors.dense_detector import DenseDetector
from chainfpn.links.detectors.dense_head import classification, per_anchor, prediction, tower


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
        return [per_anchor(self.cls_logits(self.conv(h)), self.n_output) for h in hs]  # levels of (B, N_l, n_output)


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
        return [per_anchor(self.bbox_reg(self.conv(h)), 4) for h in hs]  # levels of (B, N_l, 4)


class RetinaNetHead(chainer.Chain):
    """Both heads of RetinaNet.

    Args:
        channels (int): Channels of the pyramid.
        n_anchors (int): Anchors per position.
        n_output (int): Outputs per anchor.
        norm (callable or None): Makes a normalization link for a number of channels.
        box_loss (str): What boxes are trained by, see
            :func:`~chainfpn.training.retinanet_loss.retinanet_losses`.
    """

    def __init__(self, channels, n_anchors, n_output, *, norm=None, box_loss="l1"):
        super().__init__()
        self.box_loss = box_loss
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
        return self.classification_head(hs), self.regression_head(hs)  # levels of (B, N_l, n_output), (B, N_l, 4)


class RetinaNet(DenseDetector):
    """Detect in one stage, with a sigmoid per class.

    The arguments are those of :class:`~chainfpn.links.DenseDetector`; the head is a :class:`RetinaNetHead`.

    Source:
        Lin et al. 2017 (RetinaNet); torchvision 0.14 ``RetinaNet``.
    """

    presets = MappingProxyType({"evaluate": (0.05, 0.5), "visualize": (0.5, 0.5)})
    box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    n_detections = 300

    def scores(self, logits):
        """Score every anchor.

        Args:
            logits (list of Variable): Per level, (B, N_l, K).

        Returns:
            list of array: Per level, (B, N_l, K), probabilities.
        """
        return [F.sigmoid(logit).array for logit in logits]
