"""FCOS' heads as its authors and mmdetection have them: centerness beside the classes, distances in pixels.

The shape letters are those of ``dense_detector`` with one anchor a place.
"""

import chainer
import chainer.functions as F
from chainer import initializers

from chainfpn._typing import Variable, Variables
from chainfpn.functions._linear_map import flatten_anchors
from chainfpn.links.detectors.dense_detector import cls_conv, conv3x3, conv_tower
from chainfpn.links.group_normalization import GroupNormalization


class Scale(chainer.Link):
    """Multiply by one number, which is learnt and starts at 1."""

    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.scale = chainer.Parameter(initializers.One(), ())

    def forward(self, x: Variable) -> Variable:
        """Multiply.

        Args:
            x (Variable): float, (B, C, H, W).

        Returns:
            Variable: dtype and shape of x.
        """
        return x * F.broadcast_to(self.scale, x.shape)


class _ClassificationHead(chainer.Chain):
    """Class and centerness logits of every place."""

    def __init__(self, channels, n_output):
        super().__init__()
        self.n_output = n_output
        with self.init_scope():
            self.conv = conv_tower(channels, GroupNormalization, nobias=True)
            self.cls_logits = cls_conv(channels, n_output)
            self.bbox_ctrness = conv3x3(channels, 1)

    def forward(self, hs):
        towers = [self.conv(h) for h in hs]  # levels of (B, C, H_l, W_l)
        logits = [flatten_anchors(self.cls_logits(h), self.n_output) for h in towers]  # levels of (B, N_l, K)
        return logits, [flatten_anchors(self.bbox_ctrness(h), 1) for h in towers]


class _RegressionHead(chainer.Chain):
    """Distances of every place to the four sides, in pixels of the batch."""

    def __init__(self, channels, n_levels):
        super().__init__()
        with self.init_scope():
            self.conv = conv_tower(channels, GroupNormalization, nobias=True)
            self.bbox_reg = conv3x3(channels, 4)
            self.scales = chainer.ChainList(*(Scale() for _ in range(n_levels)))

    def forward(self, hs):
        towers = [self.conv(h) for h in hs]  # levels of (B, C, H_l, W_l)
        return [
            flatten_anchors(F.exp(scale(self.bbox_reg(h))), 4)  # (B, N_l, 4)
            for scale, h in zip(self.scales, towers, strict=True)
        ]


class ScaledFCOSHead(chainer.Chain):
    """Both heads of FCOS, with a learnt unit of distance for each level; no convolution before a norm has a bias.

    Args:
        channels (int): Channels of the pyramid, a multiple of 32.
        n_output (int): Classes.
        n_levels (int): Levels of the pyramid.

    Source:
        Tian et al. 2019, sections 3.1 and 3.2; mmdetection 3.3 ``FCOSHead``.
    """

    def __init__(self, channels: int, n_output: int, n_levels: int) -> None:
        super().__init__()
        with self.init_scope():
            self.classification_head = _ClassificationHead(channels, n_output)
            self.regression_head = _RegressionHead(channels, n_levels)

    def forward(self, hs: Variables) -> tuple[list[Variable], list[Variable], list[Variable]]:
        """Predict at every place.

        Args:
            hs (list of Variable): (B, C, H_l, W_l).

        Returns:
            tuple of three lists of Variable: Per level, logits (B, N_l, K), distances (B, N_l, 4) in pixels, left, top,
            right, bottom, and centerness logits (B, N_l, 1).
        """
        logits, centers = self.classification_head(hs)  # levels of (B, N_l, K), (B, N_l, 1)
        return logits, self.regression_head(hs), centers
