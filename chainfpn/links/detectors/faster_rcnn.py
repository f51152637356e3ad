"""Faster R-CNN: the head of its boxes, and a backbone, a region proposal network and the heads on its proposals.

Shapes: B images, C channels, H_l and W_l the size of level l, R boxes of an image, R' boxes of a batch, K classes with
the background.
"""

import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import chainer
import chainer.functions as F

from chainfpn._typing import Arrays, Labels, Losses, Norm, Sizes, Variable, Variables
from chainfpn.links.blocks import conv_norm_activation
from chainfpn.links.detectors.detections import RawDetections
from chainfpn.links.detectors.detector import Detector
from chainfpn.links.layers import IndexedSequential, linear


class TwoMLPHead(chainer.Chain):
    """Two fully connected layers.

    Args:
        in_size (int): Numbers per proposal, C * outh * outw.
        out_size (int): Width of both layers.

    Source:
        Lin et al. 2017, section 4.2; torchvision 0.14 ``TwoMLPHead``.
    """

    def __init__(self, in_size: int, out_size: int) -> None:
        super().__init__()
        with self.init_scope():
            self.fc6 = linear(in_size, out_size)
            self.fc7 = linear(out_size, out_size)

    def forward(self, x: Variable) -> Variable:
        """Compute the representation of each proposal.

        Args:
            x (Variable): (R', C, outh, outw).

        Returns:
            Variable: (R', out_size).
        """
        return F.relu(self.fc7(F.relu(self.fc6(_flatten(x)))))


def conv_box_head(channels: int, outsize: int, out_size: int, *, norm: Norm) -> IndexedSequential:
    """Make four 3x3 convolutions with normalization and one fully connected layer.

    Args:
        channels (int): Channels in, and of every convolution.
        outsize (int): Side of the grid that a proposal is pooled to.
        out_size (int): Width of the fully connected layer.
        norm (callable): Makes a normalization link for a number of channels.

    Returns:
        IndexedSequential: (R', channels, outsize, outsize) to (R', out_size).

    Source:
        torchvision 0.14 ``FastRCNNConvFCHead``.
    """
    convolutions = [conv_norm_activation(channels, channels, norm=norm) for _ in range(4)]
    return IndexedSequential(*convolutions, _flatten, linear(channels * outsize**2, out_size), F.relu)


class FastRCNNPredictor(chainer.Chain):
    """Class scores and per-class boxes by one linear layer each.

    Args:
        in_size (int): Width of the representation.
        n_output (int): Classes including the background, which is class 0.
        class_agnostic (bool): Predict one box for all classes.

    Source:
        Girshick 2015; torchvision 0.14 ``FastRCNNPredictor``.
    """

    def __init__(self, in_size: int, n_output: int, *, class_agnostic: bool = False) -> None:
        super().__init__()
        with self.init_scope():
            self.cls_score = linear(in_size, n_output)
            self.bbox_pred = linear(in_size, 4 if class_agnostic else 4 * n_output)

    def forward(self, x: Variable) -> tuple[Variable, Variable]:
        """Predict.

        Args:
            x (Variable): (R', in_size).

        Returns:
            tuple of Variable: Class logits (R', K) and deltas (R', 4K), dx, dy, dw, dh per class, or (R', 4).
        """
        return self.cls_score(x), self.bbox_pred(x)


def _flatten(x):
    """Flatten all but the first axis, also of no proposal at all."""
    return F.reshape(x, (len(x), math.prod(x.shape[1:])))


def _of_roi_heads(name):
    """Make a property that is an attribute of ``roi_heads``."""
    return property(attrgetter(f"roi_heads.{name}"), lambda self, value: setattr(self.roi_heads, name, value))


class FasterRCNN(Detector):
    """Propose regions, then classify them and refine their boxes.

    ``score_thresh`` and ``nms_thresh`` are those of ``roi_heads``.

    Args:
        backbone (callable): Batch (B, 3, H, W) to a list of maps, finest first.
        rpn (callable): A :class:`~chainfpn.links.RegionProposalNetwork`.
        roi_heads (callable): A :class:`~chainfpn.links.RoIHeads`, or a :class:`~chainfpn.links.CascadeRoIHeads`.
        n_fg_class (int): Number of labels, background excluded.
        class_ids (sequence of int or None): See :class:`~chainfpn.links.Detector`.
        label_names (sequence of str or None): See :class:`~chainfpn.links.Detector`.
        preprocess (callable or None): See :class:`~chainfpn.links.Detector`.
        n_roi_levels (int or None): Number of levels that proposals are pooled from, finest first; all but the last by
            default.

    Source:
        Ren et al. 2015; Lin et al. 2017; torchvision 0.14 ``FasterRCNN``.
    """

    score_thresh = _of_roi_heads("score_thresh")
    nms_thresh = _of_roi_heads("nms_thresh")

    def __init__(
        self, backbone: Any, rpn: Any, roi_heads: Any, *, n_fg_class: int, class_ids: Sequence[int] | None = None,
        label_names: Labels | None = None, preprocess: Callable | None = None, n_roi_levels: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(n_fg_class, class_ids, label_names, preprocess, score_thresh=None, nms_thresh=None)
        self.n_roi_levels = n_roi_levels
        with self.init_scope():
            self.backbone = backbone
            self.rpn = rpn
            self.roi_heads = roi_heads
        self._evaluate = roi_heads.score_thresh, roi_heads.nms_thresh

    def forward(self, x: Variable, sizes: Sizes) -> list[RawDetections]:
        """Detect objects in a prepared batch: see :meth:`Detector.forward`."""
        hs = self._maps(x)  # levels of (B, C, H_l, W_l)
        proposals = self.rpn(hs, sizes, x.shape[2:])  # images of (R, 4)
        return self.roi_heads.detect(self.roi_levels(hs), proposals, sizes)

    def losses(self, x: Variable, sizes: Sizes, gt_bboxes: Arrays, gt_classes: Arrays, *extras: Arrays) -> Losses:
        """Compute the losses of a prepared batch.

        Args:
            x (Variable): (B, 3, H, W).
            sizes (list of (int, int)): Height and width of each image within the batch.
            gt_bboxes (sequence of array): Per image, float, (R, 4), yxyx in pixels of the batch.
            gt_classes (sequence of array): Per image, int32, (R,), class ids.
            *extras (sequence of array): Per image, what :meth:`prepare_extra_targets` returned.

        Returns:
            dict: ``rpn_objectness``, ``rpn_box``, ``roi_class``, ``roi_box``, of a Mask R-CNN ``mask``, of a Keypoint
            R-CNN ``keypoint``; of a cascade the last ones for each stage: Variables, float32 or float64, ().
        """
        hs = self.backbone(x)  # levels of (B, C, H_l, W_l)
        proposals, losses = self.rpn.losses(hs, sizes, x.shape[2:], gt_bboxes)
        named = dict(zip(self.extra_targets, extras, strict=True))
        return losses | self.roi_heads.losses(self.roi_levels(hs), proposals, sizes, gt_bboxes, gt_classes, **named)

    def roi_levels(self, hs: Variables) -> Variables:
        """Choose the levels that proposals are pooled from.

        Args:
            hs (list of Variable): The pyramid, finest first.

        Returns:
            sequence of Variable: The first of them.
        """
        return hs[: len(hs) - 1 if self.n_roi_levels is None else self.n_roi_levels]
