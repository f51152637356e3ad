"""What detectors of one stage share: convolutions over every level, and the way of an image to losses or detections.

Shapes: B images, C channels, H_l and W_l the size of level l, A anchors a place, N_l = H_l W_l A anchors of a level, N
those of all levels, R boxes of an image, K classes.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import chainer
import chainer.functions as F
import numpy as np
from chainer import initializers

from chainfpn._typing import Array, Arrays, Labels, Losses, Norm, Size, Sizes, Variable, Variables
from chainfpn.boxes.filtering import best_of_each, clip, large_enough, level_numbers, suppress, top_k
from chainfpn.functions._focal_loss import sigmoid_focal_loss
from chainfpn.functions._linear_map import flatten_anchors
from chainfpn.functions.kernels.waiting import alone, nonzero, together
from chainfpn.links.detectors.detections import RawDetections
from chainfpn.links.detectors.detector import Detector
from chainfpn.links.layers import Convolution2D, IndexedSequential

#: Confidence with which a fresh network calls everything foreground.
PRIOR_PROBABILITY = 0.01


def conv3x3(in_channels: int, out_channels: int, *, bias: float = 0, nobias: bool = False) -> Convolution2D:
    """Make a 3x3 convolution that starts as the heads of one-stage detectors do: normal weights of deviation 0.01.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        bias (float): Initial bias.
        nobias (bool): Leave the bias out.

    Returns:
        Convolution2D: (B, in_channels, H, W) to (B, out_channels, H, W).
    """
    normal = initializers.Normal(0.01)
    return Convolution2D(in_channels, out_channels, 3, pad=1, nobias=nobias, initialW=normal, initial_bias=bias)


def cls_conv(in_channels: int, out_channels: int) -> Convolution2D:
    """Make the :func:`conv3x3` of class logits, which starts by calling everything background.

    Source:
        Lin et al. 2017 (RetinaNet), section 4.1.
    """
    return conv3x3(in_channels, out_channels, bias=-math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))


def conv_tower(
    channels: int, norm: Norm | None = None, *, nested: bool = False, nobias: bool = False
) -> IndexedSequential:
    """Make four 3x3 convolutions, each followed by its normalization and ReLU.

    Args:
        channels (int): Channels in and out.
        norm (callable or None): Makes a normalization link for a number of channels.
        nested (bool): Leave the biases out, and group each convolution with its followers, as torchvision's newer heads
            do, whose weights are named so.
        nobias (bool): Leave the biases out.

    Returns:
        IndexedSequential: (B, channels, H, W) to (B, channels, H, W).

    Source:
        torchvision 0.14 ``RetinaNetClassificationHead``, ``FCOSClassificationHead``.
    """
    layers: list[Any] = []
    for _ in range(4):
        block = [
            conv3x3(channels, channels, nobias=nested or nobias),
            *([] if norm is None else [norm(channels)]),
            F.relu,
        ]
        layers += [IndexedSequential(*block)] if nested else block
    return IndexedSequential(*layers)


class ClassificationHead(chainer.Chain):
    """Class logits of every anchor.

    Args:
        conv (callable): The :func:`conv_tower`.
        channels (int): Channels of the pyramid.
        n_anchors (int): Anchors a place.
        n_output (int): Classes.

    Source:
        torchvision 0.14 ``RetinaNetClassificationHead``, ``FCOSClassificationHead``.
    """

    def __init__(self, conv: Any, channels: int, n_anchors: int, n_output: int) -> None:
        super().__init__()
        self.n_output = n_output
        with self.init_scope():
            self.conv = conv
            self.cls_logits = cls_conv(channels, n_anchors * n_output)

    def forward(self, hs: Variables) -> list[Variable]:
        """Classify every level: (B, C, H_l, W_l) to logits (B, N_l, K)."""
        return [flatten_anchors(self.cls_logits(self.conv(h)), self.n_output) for h in hs]


class DenseHead(chainer.Chain):
    """A head for classes and one for deltas, ``classification_head`` and ``regression_head``; a subclass makes them."""

    def forward(self, hs: Variables) -> tuple[list[Variable], list[Variable]]:
        """Classify and regress every anchor.

        Args:
            hs (list of Variable): Per level, (B, C_l, H_l, W_l).

        Returns:
            tuple of two lists of Variable: Per level, logits (B, N_l, K) and deltas (B, N_l, 4).
        """
        return self.classification_head(hs), self.regression_head(hs)


def focal_loss(logits: Variables, classes: Array, weights: Array | None = None, *, divisor: float = 1) -> Variable:
    """Sum the focal loss over levels, which are too large to be put together.

    Args:
        logits (list of Variable): Per level, (B, N_l, K).
        classes (array): int32, (B, N), the class of each anchor, -1 for none.
        weights (array or None): float, (B, N).
        divisor (float): By which the sum is divided.

    Returns:
        Variable: float32 or float64, ().
    """
    losses, start = [], 0
    for logit in logits:
        level = slice(start, start + logit.shape[1])
        weight = None if weights is None else weights[:, level]
        losses.append(sigmoid_focal_loss(logit, classes[:, level], weight, divisor=divisor))
        start = level.stop
    return F.add(*losses)


class DenseDetector(Detector):
    """Base of the detectors that decide at every anchor in one go.

    A subclass has a ``box_coder``; ``scores``, which turns the head's output into scores; and ``compute_loss``, which
    takes the head's output, the anchors of each level, and the ground truth. Every argument is an attribute, too.

    Args:
        backbone (callable): Batch (B, 3, H, W) to a list of maps, finest first.
        head (callable): Maps to lists, an entry per level: class logits (B, N_l, K), deltas (B, N_l, 4), and what else
            ``scores`` and ``compute_loss`` take.
        anchor_generator (callable): An :class:`~chainfpn.boxes.AnchorGenerator`.
        n_fg_class, class_ids, label_names, preprocess, score_thresh, nms_thresh: See :class:`~chainfpn.links.Detector`.
        detections_per_img (int or None): Most detections per image; None keeps all.
        topk_candidates (int): Best-scored candidates of each level that enter NMS.
        box_coder (object or None): Between boxes and what the head regresses; None is the class's own.
        clip_before_nms (bool): Move boxes into the image before NMS; else they stay as decoded.
        min_size (float): Smallest side in pixels of a box that was moved so; 0 keeps what is empty, too.

    Raises:
        InvalidArgument: if an argument is out of its range, here or when it is set later.
    """

    box_coder: Any

    def __init__(
        self, backbone: Any, head: Any, anchor_generator: Any, n_fg_class: int, class_ids: Sequence[int] | None,
        label_names: Labels | None, preprocess: Callable | None, score_thresh: float, nms_thresh: float,
        detections_per_img: int | None, topk_candidates: int, box_coder: Any = None,
        clip_before_nms: bool = True, min_size: float = 0,
    ) -> None:  # fmt: skip
        super().__init__(n_fg_class, class_ids, label_names, preprocess, score_thresh, nms_thresh)
        self.anchor_generator = anchor_generator
        self.detections_per_img, self.topk_candidates = detections_per_img, topk_candidates
        self.clip_before_nms, self.min_size = clip_before_nms, min_size
        if box_coder is not None:
            self.box_coder = box_coder
        with self.init_scope():
            self.backbone, self.head = backbone, head

    def forward(self, x: Variable, sizes: Sizes) -> list[RawDetections]:
        """Detect objects in a prepared batch: see :meth:`Detector.forward`."""
        (logits, deltas, *others), anchors = self._predict(x)  # levels of (B, N_l, K), (B, N_l, 4), and of (N_l, 4)
        scores = self.scores(logits, *others)  # levels of (B, N_l, K)
        factors = self.score_factors(*others)  # levels of (B, N_l, 1), or none
        levels = scores, [delta.array for delta in deltas], factors  # (B, N_l, K), (B, N_l, 4), (B, N_l, 1)
        images = ([[h[i] for h in hs] for hs in levels] for i in range(len(sizes)))  # levels of (N_l, K) and so on
        return together([self._detect(s, d, anchors, size, f) for (s, d, f), size in zip(images, sizes, strict=True)])

    def score_factors(self, *others: Variables) -> list[Array]:
        """Return what the scores of candidates are multiplied by: nothing.

        Args:
            *others (list of Variable): What the head predicts beside logits and deltas.

        Returns:
            list of array: Per level, (B, N_l, 1), or an empty list.
        """
        return []

    def losses(self, x: Variable, sizes: Sizes, gt_bboxes: Arrays, gt_classes: Arrays) -> Losses:
        """Compute the losses of a prepared batch; the arguments are those of :meth:`FasterRCNN.losses`.

        Returns:
            dict: What ``compute_loss`` of the subclass returns.
        """
        predictions, anchors = self._predict(x)
        return self.compute_loss(*predictions, anchors, gt_bboxes, gt_classes)

    def _predict(self, x):
        """Return the head's output and the anchors of each level."""
        hs = self._maps(x)  # levels of (B, C, H_l, W_l)
        predictions = getattr(hs, "predictions", None) or self.head(hs)
        return predictions, self.anchor_generator([h.shape[2:] for h in hs], x.shape[2:], self.xp)

    def postprocess_detections(
        self, scores: Arrays, deltas: Arrays, anchors: Arrays, size: Size, factors: Arrays = ()
    ) -> RawDetections:
        """Turn the scores of one image into detections: threshold, best of each level, decode, clip, NMS per class.

        Args:
            scores (sequence of array): Per level, (N_l, K).
            deltas (sequence of array): Per level, (N_l, 4).
            anchors (sequence of array): Per level, (N_l, 4), yxyx.
            size ((int, int)): Height and width of the image within the batch.
            factors (sequence of array): Per level, (N_l, 1), by which the scores of candidates are multiplied.

        Returns:
            RawDetections: By descending score.

        Source:
            torchvision 0.14 ``RetinaNet.postprocess_detections``; without ``clip_before_nms`` detectron2 0.6
            ``RetinaNet.inference_single_image``; with factors mmdetection 3.3 ``BaseDenseHead``.
        """
        return alone(self._detect(scores, deltas, anchors, size, factors))

    def _detect(self, scores, deltas, anchors, size, factors):
        """Run :meth:`postprocess_detections`, where other images wait as well."""
        candidates, score = yield from self._find_candidates(scores)  # (R,), (R,)
        row, class_id = self.xp.divmod(candidates, scores[0].shape[1])
        delta, anchor = (self.xp.concatenate(levels)[row] for levels in (deltas, anchors))  # (R, 4), (R, 4)
        if factors:
            score = score * self.xp.concatenate(factors)[row, 0]
        bbox, class_id = self.box_coder.decode(delta, anchor)[:, 0], class_id.astype(np.int32)
        if self.clip_before_nms:
            bbox = clip(bbox, size)
            if self.min_size:
                large = yield from nonzero(large_enough(bbox, self.min_size))
                bbox, class_id, score = bbox[large], class_id[large], score[large]
        keep = (yield from suppress(bbox, score, class_id, self.nms_thresh))[: self.detections_per_img]
        return RawDetections(bbox[keep], class_id[keep], score[keep])

    def _find_candidates(self, scores):
        """Find of each level the best scores above the threshold: indices into those of all levels, (N * K,), and them.

        On a GPU the host waits for them once, or twice if some level may have too many.
        """
        xp, lengths = self.xp, [level.size for level in scores]
        if xp is np:
            parts = []
            for score, start in zip(map(np.ravel, scores), itertools.accumulate(lengths, initial=0), strict=False):
                (found,) = np.nonzero(score > self.score_thresh)
                found = found[top_k(score[found], self.topk_candidates)]
                parts.append((found + start, score[found]))
            return map(np.concatenate, zip(*parts, strict=True))
        score = xp.concatenate([level.ravel() for level in scores])
        found = yield from nonzero(score > self.score_thresh)
        if len(found) > self.topk_candidates:
            level = level_numbers([len(level) for level in scores], xp)[found // scores[0].shape[1]]
            found = found[(yield from best_of_each(level, score[found], self.topk_candidates))]
        return found, score[found]
