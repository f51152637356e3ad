"""FCOS: every position of every level says how far the sides of its object are."""

from types import MappingProxyType

import chainer
import chainer.functions as F

from chainfpn.boxes.box_coder import LinearBoxCoder
from chainfpn.links.detectors.dense_detector import DenseDetector
from chainfpn.links.detectors.dense_head import classification, per_anchor, prediction, tower
from chainfpn.links.group_normalization import GroupNormalization


class FCOSClassificationHead(chainer.Chain):
    """Class logits of every position.

    Args:
        channels (int): Channels of the pyramid, a multiple of 32.
        n_output (int): Outputs per position.

    Source:
        Tian et al. 2019, section 3.1; torchvision 0.14 ``FCOSClassificationHead``.
    """

    def __init__(self, channels, n_output):
        super().__init__()
        self.n_output = n_output
        with self.init_scope():
            self.conv = tower(channels, norm=GroupNormalization)
            self.cls_logits = classification(channels, n_output)

    def forward(self, hs):
        """Classify.

        Args:
            hs (list of Variable): (B, C, H_l, W_l).

        Returns:
            list of Variable: Per level, (B, H_l * W_l, n_output).
        """
        return [per_anchor(self.cls_logits(self.conv(h)), self.n_output) for h in hs]  # levels of (B, N_l, n_output)


class FCOSRegressionHead(chainer.Chain):
    """Distances to the four sides, and how central a position is.

    Args:
        channels (int): Channels of the pyramid, a multiple of 32.

    Source:
        Tian et al. 2019, sections 3.1 and 3.3; torchvision 0.14 ``FCOSRegressionHead``.
    """

    def __init__(self, channels):
        super().__init__()
        with self.init_scope():
            self.conv = tower(channels, norm=GroupNormalization)
            self.bbox_reg = prediction(channels, 4)
            self.bbox_ctrness = prediction(channels, 1)

    def forward(self, hs):
        """Predict.

        Args:
            hs (list of Variable): (B, C, H_l, W_l).

        Returns:
            tuple of two lists of Variable: Per level, distances (B, H_l * W_l, 4), left, top, right, bottom >= 0, and
            centerness logits (B, H_l * W_l, 1).
        """
        towers = [self.conv(h) for h in hs]  # levels of (B, C, H_l, W_l)
        distances = [per_anchor(F.relu(self.bbox_reg(h)), 4) for h in towers]  # levels of (B, N_l, 4)
        centers = [per_anchor(self.bbox_ctrness(h), 1) for h in towers]  # levels of (B, N_l, 1)
        return distances, centers


class FCOSHead(chainer.Chain):
    """Both heads of FCOS.

    Args:
        channels (int): Channels of the pyramid, a multiple of 32.
        n_output (int): Outputs per position.
    """

    def __init__(self, channels, n_output):
        super().__init__()
        with self.init_scope():
            self.classification_head = FCOSClassificationHead(channels, n_output)
            self.regression_head = FCOSRegressionHead(channels)

    def forward(self, hs):
        """Predict at every position.

        Args:
            hs (list of Variable): (B, C, H_l, W_l).

        Returns:
            tuple of three lists of Variable: Per level, logits (B, N_l, n_output), distances (B, N_l, 4) and
            centerness logits (B, N_l, 1).
        """
        logits = self.classification_head(hs)  # levels of (B, N_l, n_output)
        distances, centers = self.regression_head(hs)  # levels of (B, N_l, 4), (B, N_l, 1)
        return logits, distances, centers


class FCOS(DenseDetector):
    """Detect in one stage, without anchors to choose from.

    The anchor generator gives the unit of the distances: one square per position, as large as the stride.

    The arguments are those of :class:`~chainfpn.links.DenseDetector`; the head is a :class:`FCOSHead`, and there is one
    anchor per position.

    Source:
        Tian et al. 2019; torchvision 0.14 ``FCOS``.
    """

    presets = MappingProxyType({"evaluate": (0.2, 0.6), "visualize": (0.5, 0.6)})
    box_coder = LinearBoxCoder()
    n_detections = 100

    def scores(self, logits, centers):
        """Score every position: the geometric mean of the class probability and the centerness.

        Args:
            logits (list of Variable): Per level, (B, N_l, K).
            centers (list of Variable): Per level, (B, N_l, 1).

        Returns:
            list of array: Per level, (B, N_l, K).
        """
        return [
            self.xp.sqrt(F.sigmoid(logit).array * F.sigmoid(center).array)
            for logit, center in zip(logits, centers, strict=True)
        ]
