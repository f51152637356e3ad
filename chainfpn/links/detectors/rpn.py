"""Region proposal network: its head, anchors, training targets, losses, and the proposals.

Shapes: B images, C channels, H_l and W_l the size of level l, A anchors a place, N_l = H_l W_l A anchors of a level, N
those of all levels, R boxes of an image, R_l of them from level l, S sampled anchors, P positive ones among them.
"""

from typing import Any, NamedTuple

import chainer
import chainer.functions as F
import numpy as np
from chainer import backend, initializers

from chainfpn._option_rules import CheckedOptions, check_iou_thresholds
from chainfpn._typing import Array, Arrays, Losses, Size, Sizes, Variable, Variables
from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.boxes.filtering import clip, find_candidates, suppress, top_k_of_each
from chainfpn.boxes.matcher import match, offsets, sample_batch
from chainfpn.functions._gather import gather
from chainfpn.functions._linear_map import flatten_anchors
from chainfpn.functions._losses import binary_cross_entropy, smooth_l1_loss
from chainfpn.functions.kernels.waiting import together
from chainfpn.links.layers import Convolution2D, IndexedSequential, convolve

#: Where the box losses of detectors of two stages turn from squares into absolute values.
BETA = 1 / 9


class RPNHead(chainer.Chain):
    """Objectness logits and box deltas of every anchor: 3x3 convolutions and two 1x1, shared by all levels.

    A single 3x3 convolution is ``conv``, the first of several is ``conv/0/0``: torchvision's two spellings.

    Args:
        channels (int): Channels of the pyramid.
        n_anchors (int): Anchors a place.
        n_layers (int): Number of 3x3 convolutions, each followed by ReLU.

    Source:
        Ren et al. 2015, section 3.1; torchvision 0.14 ``RPNHead``.
    """

    def __init__(self, channels: int, n_anchors: int, *, n_layers: int = 1) -> None:
        super().__init__()
        normal = initializers.Normal(0.01)
        convolutions = [Convolution2D(channels, channels, 3, pad=1, initialW=normal) for _ in range(n_layers)]
        if n_layers > 1:
            convolutions = [IndexedSequential(*(IndexedSequential(layer, F.relu) for layer in convolutions))]
        with self.init_scope():
            (self.conv,) = convolutions
            self.cls_logits = Convolution2D(channels, n_anchors, 1, initialW=normal)
            self.bbox_pred = Convolution2D(channels, 4 * n_anchors, 1, initialW=normal)

    def forward(self, hs: Variables) -> tuple[list[Variable], list[Variable]]:
        """Predict objectness and deltas.

        Args:
            hs (list of Variable): The pyramid, (B, C, H_l, W_l), finest first.

        Returns:
            tuple of two lists of Variable: Per level the logits (B, N_l) and the deltas (B, N_l, 4) in the order
            dx, dy, dw, dh; places row-major, the anchors of a place innermost.
        """
        logits, deltas = [], []
        for h in hs:
            h = convolve(self.conv, h, relu=True)  # several convolutions have had their ReLU
            logits.append(flatten_anchors(self.cls_logits(h)))  # (B, N_l)
            deltas.append(flatten_anchors(self.bbox_pred(h), 4))  # (B, N_l, 4)
        return logits, deltas


class SampledAnchors(NamedTuple):
    """The anchors of a batch that enter the losses.

    Attributes:
        rows (array): int64, (S,), positives first: anchor r % N of image r // N.
        target (array): float, (P, 4), deltas from each positive anchor to its ground truth box.
    """

    rows: Array
    target: Array


class RegionProposalNetwork(CheckedOptions, chainer.Chain):
    """Propose regions from the pyramid.

    Every argument is an attribute, too.

    Args:
        head (callable): An :class:`RPNHead`.
        anchor_generator (callable): An :class:`~chainfpn.boxes.AnchorGenerator`.
        fg_iou_thresh (float): Smallest IoU of a positive anchor with its ground truth box.
        bg_iou_thresh (float): IoU below which an anchor is negative.
        batch_size_per_image (int): Anchors sampled per image.
        positive_fraction (float): Largest share of positives among them.
        pre_nms_top_n_train (int): Best-scored proposals of each level that enter NMS, in training mode.
        post_nms_top_n_train (int): Proposals kept per image, in training mode.
        pre_nms_top_n_test (int): As ``pre_nms_top_n_train``, in test mode.
        post_nms_top_n_test (int): As ``post_nms_top_n_train``, in test mode.
        nms_thresh (float): IoU above which the lower-scored of two proposals of a level goes.
        score_thresh (float): Only anchors of at least this objectness become proposals.
        min_size (float): Smallest side of a proposal in pixels.
        inclusive (bool): A proposal also goes if its IoU with a better one equals ``nms_thresh``.
        clip_to_batch (bool): Let proposals reach into the padding beside a smaller image.
        min_log_scale (float or None): See :class:`~chainfpn.boxes.BoxCoder`.
        smooth_l1_beta (float): Error up to which the box loss is a square; 0 makes it the absolute error.
        min_low_quality_iou (float or None): See :func:`~chainfpn.boxes.match`.

    Attributes:
        permutation (callable): Draws the sample, see :func:`~chainfpn.boxes.sample`.

    Raises:
        InvalidArgument: if an argument is out of its range, here or when it is set later.

    Source:
        Ren et al. 2015; torchvision 0.14 ``RegionProposalNetwork`` and ``FasterRCNN`` (the numbers).
    """

    permutation: Any = staticmethod(np.random.permutation)

    def __init__(
        self, head: Any, anchor_generator: Any, *, fg_iou_thresh: float = 0.7, bg_iou_thresh: float = 0.3,
        batch_size_per_image: int = 256, positive_fraction: float = 0.5,
        pre_nms_top_n_train: int = 2000, post_nms_top_n_train: int = 2000,
        pre_nms_top_n_test: int = 1000, post_nms_top_n_test: int = 1000, nms_thresh: float = 0.7,
        score_thresh: float = 0.0, min_size: float = 1e-3, inclusive: bool = False, clip_to_batch: bool = False,
        min_log_scale: float | None = None, smooth_l1_beta: float = BETA,
        min_low_quality_iou: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.anchor_generator = anchor_generator
        self.fg_iou_thresh, self.bg_iou_thresh = fg_iou_thresh, bg_iou_thresh
        check_iou_thresholds(type(self).__name__, fg_iou_thresh, bg_iou_thresh)
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction
        self.pre_nms_top_n_train, self.post_nms_top_n_train = pre_nms_top_n_train, post_nms_top_n_train
        self.pre_nms_top_n_test, self.post_nms_top_n_test = pre_nms_top_n_test, post_nms_top_n_test
        self.nms_thresh, self.score_thresh, self.min_size = nms_thresh, score_thresh, min_size
        self.inclusive, self.clip_to_batch = inclusive, clip_to_batch
        self.min_log_scale, self.smooth_l1_beta = min_log_scale, smooth_l1_beta
        self.min_low_quality_iou = min_low_quality_iou
        with self.init_scope():
            self.head = head

    @property
    def box_coder(self) -> BoxCoder:
        """BoxCoder: Between boxes and deltas, of weights 1, by ``min_log_scale``."""
        return BoxCoder((1.0, 1.0, 1.0, 1.0), min_log_scale=self.min_log_scale)

    def forward(self, hs: Variables, sizes: Sizes, padded_size: Size) -> list[Array]:
        """Propose regions for a batch.

        Args:
            hs (list of Variable): The pyramid, (B, C, H_l, W_l), finest first.
            sizes (list of (int, int)): Height and width of each image within the batch.
            padded_size ((int, int)): Height and width of the batch.

        Returns:
            list of array: Per image, float32 or float64, (R, 4), yxyx in pixels of the batch, by descending score.
        """
        logits, deltas = getattr(hs, "predictions", None) or self.head(hs)  # levels of (B, N_l), (B, N_l, 4)
        return self.propose(logits, deltas, self.anchors(hs, padded_size), sizes, padded_size)

    def losses(self, hs: Variables, sizes: Sizes, padded_size: Size, gt_bboxes: Arrays) -> tuple[Arrays, Losses]:
        """Propose regions, and compute the losses of the head.

        Args:
            hs (list of Variable): As for :meth:`forward`.
            sizes (list of (int, int)): As for :meth:`forward`.
            padded_size ((int, int)): As for :meth:`forward`.
            gt_bboxes (sequence of array): Ground truth of each image, float, (R, 4), yxyx in pixels of the batch.

        Returns:
            tuple: The proposals, and the dict of losses: see :meth:`forward` and :meth:`compute_loss`.
        """
        logits, deltas = self.head(hs)  # levels of (B, N_l), (B, N_l, 4)
        anchors = self.anchors(hs, padded_size)  # levels of (N_l, 4)
        proposals = self.propose(logits, deltas, anchors, sizes, padded_size)  # images of (R, 4)
        return proposals, self.compute_loss(logits, deltas, self.sample_anchors(anchors, gt_bboxes))

    def anchors(self, hs: Variables, padded_size: Size) -> list[Array]:
        """Make the anchors of every level.

        Args:
            hs (list of Variable): The pyramid.
            padded_size ((int, int)): Height and width of the batch.

        Returns:
            list of array: float32, (N_l, 4), yxyx.
        """
        return self.anchor_generator([h.shape[2:] for h in hs], padded_size, backend.get_array_module(hs[0]))

    def sample_anchors(self, anchors: Arrays, gt_bboxes: Arrays) -> SampledAnchors:
        """Match anchors with the ground truth, and sample positive and negative ones for the losses.

        Args:
            anchors (sequence of array): Per level, (N_l, 4), yxyx.
            gt_bboxes (sequence of array): Per image, float, (R, 4), yxyx in pixels of the batch.

        Returns:
            SampledAnchors: The sample of the whole batch.

        Raises:
            InvalidArgument: if not bg_iou_thresh <= fg_iou_thresh.

        Source:
            Ren et al. 2015, section 3.1.2; torchvision 0.14 ``RegionProposalNetwork.assign_targets_to_anchors``.
        """
        xp = backend.get_array_module(*anchors)
        anchor = xp.concatenate(anchors)  # (N, 4)
        options: dict[str, Any] = {"fg_iou_thresh": self.fg_iou_thresh, "bg_iou_thresh": self.bg_iou_thresh}
        options |= {"allow_low_quality_matches": True, "min_low_quality_iou": self.min_low_quality_iou}
        each = [match(anchor, gt_bbox, **options) for gt_bbox in gt_bboxes]
        matched, lengths = xp.concatenate(each), [len(anchor)] * len(each)  # (B * N,)
        positive, negative, n_positives, _ = sample_batch(
            matched, lengths, self.batch_size_per_image, self.positive_fraction, permutation=self.permutation
        )
        gt_bbox = xp.concatenate(gt_bboxes)[matched[positive] + offsets(gt_bboxes, n_positives, xp)]  # (P, 4)
        target = self.box_coder.encode(gt_bbox, anchor[positive % len(anchor)])  # (P, 4)
        return SampledAnchors(xp.concatenate((positive, negative)), target)  # (S,), (P, 4)

    def compute_loss(self, logits: Variables, deltas: Variables, sampled: SampledAnchors) -> Losses:
        """Compute the losses of objectness and boxes over the sampled anchors, divided by their number.

        Args:
            logits (list of Variable): Per level, (B, N_l).
            deltas (list of Variable): Per level, (B, N_l, 4).
            sampled (SampledAnchors): The anchors that enter.

        Returns:
            dict: ``rpn_objectness`` and ``rpn_box``, Variables, float32 or float64, ().

        Source:
            Ren et al. 2015, section 3.1.2; torchvision 0.14 ``RegionProposalNetwork.compute_loss``.
        """
        rows, target = sampled
        n_positive, n_sampled = len(target), max(len(rows), 1)
        is_positive = backend.get_array_module(rows).zeros(len(rows), np.float32)  # (S,)
        is_positive[:n_positive] = 1
        found = gather(deltas, rows[:n_positive])  # (P, 4)
        return {
            "rpn_objectness": binary_cross_entropy(gather(logits, rows), is_positive, divisor=n_sampled),
            "rpn_box": smooth_l1_loss(found, target, beta=self.smooth_l1_beta, divisor=n_sampled),
        }

    def propose(
        self, logits: Variables, deltas: Variables, anchors: Arrays, sizes: Sizes, padded_size: Size | None = None
    ) -> list[Array]:
        """Turn the head's output into proposals: the best of each level decoded, clipped, filtered, then NMS.

        Args:
            logits (list of Variable): Per level, (B, N_l).
            deltas (list of Variable): Per level, (B, N_l, 4).
            anchors (sequence of array): Per level, (N_l, 4), yxyx.
            sizes (list of (int, int)): Height and width of each image within the batch.
            padded_size ((int, int) or None): Height and width of the batch, needed for ``clip_to_batch``.

        Returns:
            list of array: Per image, float32 or float64, (R, 4), yxyx, by descending score.

        Raises:
            ValueError: if padded_size is None with ``clip_to_batch``.

        Source:
            torchvision 0.14 ``RegionProposalNetwork.filter_proposals``.
        """
        if self.clip_to_batch:
            if padded_size is None:
                raise ValueError("RegionProposalNetwork: padded_size must be given with clip_to_batch, got None")
            sizes = [padded_size] * len(sizes)
        train = chainer.config.train
        pre_nms_top_n = self.pre_nms_top_n_train if train else self.pre_nms_top_n_test
        post_nms_top_n = self.post_nms_top_n_train if train else self.post_nms_top_n_test
        xp = backend.get_array_module(*anchors)
        anchor, lengths = xp.concatenate(anchors), [len(level) for level in anchors]  # (N, 4)
        scores, all_deltas = (
            xp.concatenate([level.array for level in levels], axis=1) for levels in (logits, deltas)
        )  # (B, N), (B, N, 4)

        def propose(score, delta, size):
            """Return the proposals of one image."""
            best, level = top_k_of_each(score, lengths, pre_nms_top_n)  # (R,), (R,)
            bbox = clip(self.box_coder.decode(delta[best], anchor[best])[:, 0], size)  # (R, 4)
            score = score[best]  # (R,)
            options = {"score_thresh": self.score_thresh, "min_size": self.min_size, "inclusive": True}
            (keep,) = yield from find_candidates(bbox, F.sigmoid(score).array, size, **options)
            bbox, score, level = bbox[keep], score[keep], level[keep]
            keep = yield from suppress(bbox, score, level, self.nms_thresh, inclusive=self.inclusive)
            return bbox[keep[:post_nms_top_n]]

        return together([propose(*image) for image in zip(scores, all_deltas, sizes, strict=True)])
