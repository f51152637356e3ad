"""SSD: the default boxes of six maps, each classified and shifted by one convolution."""

from types import MappingProxyType

import chainer
import chainer.functions as F
from chainer import initializers

from chainfpn.boxes._nms import batched_nms
from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.boxes.filtering import clip
from chainfpn.links.convolution_2d import Convolution2D
from chainfpn.links.detectors.dense_detector import DenseDetector
from chainfpn.links.detectors.dense_head import per_anchor
from chainfpn.links.detectors.detector import RawDetections


class SSDScoringHead(chainer.Chain):
    """Some numbers for every default box, by one convolution per map.

    Args:
        in_channels (sequence of int): Channels of each map.
        n_anchors (sequence of int): Boxes per position of each map.
        n (int): Numbers per box.

    Source:
        Liu et al. 2016 (SSD), section 2.1; torchvision 0.14 ``SSDScoringHead``.
    """

    def __init__(self, in_channels, n_anchors, n):
        super().__init__()
        self.n = n
        xavier = initializers.GlorotUniform()
        with self.init_scope():
            self.module_list = chainer.ChainList(
                *[
                    Convolution2D(channels, n_boxes * n, 3, pad=1, initialW=xavier)
                    for channels, n_boxes in zip(in_channels, n_anchors, strict=True)
                ]
            )

    def forward(self, hs):
        """Compute the numbers.

        Args:
            hs (list of Variable): (B, C_l, H_l, W_l).

        Returns:
            list of Variable: Per map, (B, H_l * W_l * A_l, n).
        """
        return [
            per_anchor(layer(h), self.n) for layer, h in zip(self.module_list, hs, strict=True)
        ]  # maps of (B, N_l, n)


class SSDHead(chainer.Chain):
    """Both heads of SSD.

    Args:
        in_channels (sequence of int): Channels of each map.
        n_anchors (sequence of int): Boxes per position of each map.
        n_output (int): Outputs per box; the first is the background's.
    """

    def __init__(self, in_channels, n_anchors, n_output):
        super().__init__()
        with self.init_scope():
            self.classification_head = SSDScoringHead(in_channels, n_anchors, n_output)
            self.regression_head = SSDScoringHead(in_channels, n_anchors, 4)

    def forward(self, hs):
        """Classify and shift every default box.

        Args:
            hs (list of Variable): (B, C_l, H_l, W_l).

        Returns:
            tuple of two lists of Variable: Per map, logits (B, N_l, n_output) and deltas (B, N_l, 4).
        """
        return self.classification_head(hs), self.regression_head(hs)  # maps of (B, N_l, n_output), (B, N_l, 4)


class SSD(DenseDetector):
    """Detect in one stage, with a softmax over the labels and the background.

    The arguments are those of :class:`~chainfpn.links.DenseDetector`; the head is a :class:`SSDHead`, the anchors are
    those of a :class:`~chainfpn.boxes.DefaultBoxGenerator`, and ``n_candidates`` counts per label, not per map;
    torchvision's number is 400.

    Source:
        Liu et al. 2016 (SSD); torchvision 0.14 ``SSD``.
    """

    #: For looking at, ChainerCV's thresholds of its SSD.
    presets = MappingProxyType({"evaluate": (0.01, 0.45), "visualize": (0.6, 0.45)})
    box_coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    n_detections = 200

    def scores(self, logits):
        """Score every default box.

        Args:
            logits (list of Variable): Per map, (B, N_l, K).

        Returns:
            list of array: Per map, (B, N_l, K), probabilities, which over K sum to 1.
        """
        return [F.softmax(logit, axis=2).array for logit in logits]

    def _detect(self, scores, deltas, anchors, size):
        """Turn the scores of one image into detections.

        Threshold, best of each label, decode, clip, suppress per label: torchvision 0.14
        ``SSD.postprocess_detections``.
        """
        xp = self.xp
        score, delta, anchor = xp.concatenate(scores), xp.concatenate(deltas), xp.concatenate(anchors)  # (N, ...)
        output, position = xp.nonzero(self.score_thresh < score[:, 1:].T)  # (R',), the labels one after the other
        output += 1
        score = score[position, output]  # (R',)
        best = _best_of_each(output, score, self.n_candidates, xp)  # (R,)
        position, output, score = position[best], output[best].astype("int32"), score[best]
        bbox = clip(self.box_coder.decode(delta[position], anchor[position])[:, 0], size)  # (R, 4)
        keep = batched_nms(bbox, score, output, self.nms_thresh)[: self.n_detections]
        return RawDetections(bbox[keep], output[keep], score[keep])


def _best_of_each(output, score, k, xp):
    """Find the k highest scores of each output: indices, (R,), of (R',) rows that are sorted by output."""
    order = xp.argsort(-score, kind="stable")
    order = order[xp.argsort(output[order], kind="stable")]  # by output, then by falling score
    rank = xp.arange(len(output)) - xp.searchsorted(output, output)  # output[order] equals output
    return order[rank < k]
