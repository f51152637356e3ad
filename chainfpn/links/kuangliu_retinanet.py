"""The RetinaNet of kuangliu/pytorch-retinanet: trunk and pyramid in one link, two heads, rules of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import chainer.functions as F
import numpy as np

from chainfpn._attributes import Fixed
from chainfpn._typing import Array, Labels, Sizes, Variable, Variables
from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.boxes.filtering import suppress
from chainfpn.functions._linear_map import flatten_anchors
from chainfpn.functions.kernels.waiting import alone, nonzero, together
from chainfpn.links.detectors.dense_detector import cls_conv, conv3x3, conv_tower
from chainfpn.links.detectors.detections import RawDetections
from chainfpn.links.detectors.detector import Detector
from chainfpn.links.kuangliu_fpn import KuangliuPyramid
from chainfpn.links.layers import Convolution2D, IndexedSequential

#: Anchors a place: three shapes of three sizes.
N_ANCHORS = 9


class KuangliuRetinaFPN(KuangliuPyramid):
    """Pyramid of 256 channels, P3 to P7, over a bottleneck ResNet.

    It differs from :class:`~chainfpn.links.FPN` in three ways: coarser levels are enlarged bilinearly, P5 is not
    smoothed, and P3 is made from the smoothed P4. P6 is made from the trunk's last map.

    Args:
        n_blocks (sequence of int): Blocks of each of the four stages.
        align_corners (bool): See :class:`~chainfpn.links.KuangliuFPN`.

    Source:
        Lin et al. 2017 (RetinaNet); kuangliu/pytorch-retinanet ``fpn.py``.
    """

    def __init__(self, n_blocks: Sequence[int], *, align_corners: bool = False) -> None:
        super().__init__(n_blocks, ("layer2", "layer3", "layer4"), align_corners=align_corners)
        _, c3, c4, c5 = self.out_channels
        with self.init_scope():
            self.conv6 = Convolution2D(c5, 256, 3, stride=2, pad=1)
            self.conv7 = Convolution2D(256, 256, 3, stride=2, pad=1)
            self.latlayer1 = Convolution2D(c5, 256, 1)
            self.latlayer2 = Convolution2D(c4, 256, 1)
            self.latlayer3 = Convolution2D(c3, 256, 1)
            self.toplayer1 = Convolution2D(256, 256, 3, pad=1)
            self.toplayer2 = Convolution2D(256, 256, 3, pad=1)

    def forward(self, x: Variable) -> tuple[Variable, ...]:
        """Build the pyramid.

        Args:
            x (Variable): (B, 3, H, W).

        Returns:
            tuple of Variable: p3, p4, p5, p6, p7, each (B, 256, H / s, W / s) rounded up, s = 8, 16, 32, 64, 128.
        """
        c3, c4, c5 = super().forward(x)  # (B, 512, H/8, W/8) to (B, 2048, H/32, W/32)
        p6 = self.conv6(c5)  # (B, 256, H/64, W/64)
        p7 = self.conv7(F.relu(p6))  # (B, 256, H/128, W/128)
        p5 = self.latlayer1(c5)  # (B, 256, H/32, W/32)
        p4 = self.toplayer1(self.upsample_add(p5, self.latlayer2(c4)))  # (B, 256, H/16, W/16)
        p3 = self.toplayer2(self.upsample_add(p4, self.latlayer3(c3)))  # (B, 256, H/8, W/8)
        return p3, p4, p5, p6, p7


class KuangliuRetinaNet(Detector):
    """Detect in one stage, with a sigmoid per label and no output for the background.

    An anchor is of the label it scores highest. Suppression is across labels, sides are counted in whole pixels, both
    ends included, and boxes are not clipped to the image.

    Args:
        n_fg_class (int): Number of labels.
        anchor_generator (callable): A :class:`~chainfpn.boxes.KuangliuAnchorGenerator` of nine anchors a place.
        n_blocks (sequence of int): Blocks of each of the four stages of the trunk.
        align_corners (bool): See :class:`~chainfpn.links.KuangliuFPN`.
        label_names (sequence of str or None): See :class:`~chainfpn.links.Detector`.
        preprocess (callable or None): See :class:`~chainfpn.links.Detector`.
        score_thresh (float): Only detections with a score above it are kept.
        nms_thresh (float): IoU above which the lower-scored of two detections goes.

    Source:
        kuangliu/pytorch-retinanet ``retinanet.py``, and ``DataEncoder.decode`` for the rules.
    """

    visualize_score_thresh = 0.5
    box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    align_corners = Fixed()

    def __init__(
        self, n_fg_class: int, anchor_generator: Any, *, n_blocks: Sequence[int] = (3, 4, 6, 3),
        align_corners: bool = False, label_names: Labels | None = None, preprocess: Callable | None = None,
        score_thresh: float = 0.5, nms_thresh: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__(n_fg_class, range(n_fg_class), label_names, preprocess, score_thresh, nms_thresh)
        self.anchor_generator, self.align_corners = anchor_generator, align_corners
        with self.init_scope():
            self.fpn = KuangliuRetinaFPN(n_blocks, align_corners=align_corners)
            self.loc_head = IndexedSequential(*conv_tower(256), conv3x3(256, N_ANCHORS * 4))
            self.cls_head = IndexedSequential(*conv_tower(256), cls_conv(256, N_ANCHORS * n_fg_class))

    def head(self, hs: Variables) -> tuple[list[Variable], list[Variable]]:
        """Classify and regress every anchor.

        Args:
            hs (list of Variable): (B, 256, H_l, W_l).

        Returns:
            tuple of two lists of Variable: Per level, logits (B, N_l, n_fg_class) and deltas (B, N_l, 4).
        """
        logits = [flatten_anchors(self.cls_head(h), self.n_fg_class) for h in hs]
        return logits, [flatten_anchors(self.loc_head(h), 4) for h in hs]

    def forward(self, x: Variable, sizes: Sizes) -> list[RawDetections]:
        """Detect objects in a prepared batch: see :meth:`Detector.forward`."""
        hs = self._maps(x)  # levels of (B, 256, H_l, W_l)
        predictions = getattr(hs, "predictions", None) or self.head(hs)  # levels of (B, N_l, K), (B, N_l, 4)
        logits, deltas = (F.concat(levels, axis=1).array for levels in predictions)  # (B, N, K), (B, N, 4)
        anchors = self.anchor_generator([h.shape[2:] for h in hs], x.shape[2:], self.xp)  # levels of (N_l, 4)
        anchor = self.xp.concatenate(anchors)  # (N, 4)
        return together([self._detect(*arrays, anchor) for arrays in zip(logits, deltas, strict=True)])

    def postprocess_detections(self, logit: Array, delta: Array, anchor: Array) -> RawDetections:
        """Turn the logits and deltas of one image into detections: threshold, decode, NMS over all labels.

        Args:
            logit (array): (N, K).
            delta (array): (N, 4).
            anchor (array): (N, 4), yxyx.

        Returns:
            RawDetections: By descending score.
        """
        return alone(self._detect(logit, delta, anchor))

    def _detect(self, logit, delta, anchor):
        """Run :meth:`postprocess_detections`, where other images wait as well."""
        xp = self.xp
        class_id = logit.argmax(axis=1)  # (N,)
        score = F.sigmoid(logit.max(axis=1)).array
        passes = yield from nonzero(score > self.score_thresh)
        class_id, score = class_id[passes].astype(np.int32), score[passes]  # (R,)
        bbox = self.box_coder.decode(delta[passes], anchor[passes])[:, 0]  # (R, 4)
        pixels = bbox + xp.array((0, 0, 1, 1), dtype=bbox.dtype)  # the last row and column counted
        keep = yield from suppress(pixels, score, None, self.nms_thresh)
        return RawDetections(bbox[keep], class_id[keep], score[keep])
