"""Region proposal network: where in the image something might be."""

import chainer
import chainer.functions as F
from chainer import backend, initializers

from chainfpn.boxes._nms import batched_nms
from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.boxes.filtering import clip, large_enough, top_k
from chainfpn.links.convolution_2d import Convolution2D
from chainfpn.links.indexed_sequential import IndexedSequential


class RPNHead(chainer.Chain):
    """Score and shift every anchor: 3x3 convolutions and two 1x1, shared by all levels.

    A single 3x3 convolution is ``conv``, the first of several is ``conv/0/0``: torchvision's two spellings.

    Args:
        channels (int): Channels of the pyramid.
        n_anchors (int): Anchors per position.
        n_layers (int): Number of 3x3 convolutions, each followed by ReLU.

    Source:
        Ren et al. 2015, section 3.1; torchvision 0.14 ``RPNHead``.
    """

    def __init__(self, channels, n_anchors, *, n_layers=1):
        super().__init__()
        normal = initializers.Normal(0.01)
        convolutions = [Convolution2D(channels, channels, 3, pad=1, initialW=normal) for _ in range(n_layers)]
        blocks = [IndexedSequential(convolution, F.relu) for convolution in convolutions]
        with self.init_scope():
            self.conv = convolutions[0] if n_layers == 1 else IndexedSequential(*blocks)
            self.cls_logits = Convolution2D(channels, n_anchors, 1, initialW=normal)
            self.bbox_pred = Convolution2D(channels, 4 * n_anchors, 1, initialW=normal)

    def forward(self, hs):
        """Score and shift the anchors.

        Args:
            hs (list of Variable): (B, C, H_l, W_l), finest first.

        Returns:
            tuple of two lists of Variable: Per level the logits (B, H_l * W_l * A) and the deltas
            (B, H_l * W_l * A, 4) in the order dx, dy, dw, dh; positions row-major, anchors innermost.
        """
        logits, deltas = [], []
        for h in hs:
            batch = h.shape[0]
            h = F.relu(self.conv(h))  # (B, C, H, W); several convolutions have had their ReLU
            logit = self.cls_logits(h).transpose(0, 2, 3, 1)  # (B, H, W, A)
            delta = self.bbox_pred(h).transpose(0, 2, 3, 1)  # (B, H, W, 4A)
            logits.append(logit.reshape(batch, -1))  # (B, HWA)
            deltas.append(delta.reshape(batch, -1, 4))  # (B, HWA, 4)
        return logits, deltas


class RegionProposalNetwork(chainer.Chain):
    """Propose regions from the pyramid.

    Args:
        head (callable): An :class:`RPNHead`.
        anchor_generator (callable): An :class:`~chainfpn.boxes.AnchorGenerator`.
        n_train_pre_nms (int): Best-scored proposals of each level that enter NMS, in training mode.
        n_train_post_nms (int): Proposals kept per image, in training mode.
        n_test_pre_nms (int): As ``n_train_pre_nms``, in test mode.
        n_test_post_nms (int): As ``n_train_post_nms``, in test mode.
        nms_thresh (float): IoU above which the lower-scored of two proposals of a level goes.
        min_size (float): Smallest side of a proposal in pixels.
        score_thresh (float): Only anchors that show something with at least this probability become proposals.
        inclusive (bool): A proposal also goes if its IoU with a better one equals ``nms_thresh``.
        clip_to_batch (bool): Let proposals reach into the padding beside a smaller image.

    Source:
        Ren et al. 2015; torchvision 0.14 ``RegionProposalNetwork`` and ``FasterRCNN`` (the numbers).
    """

    def __init__(
        self,
        head,
        anchor_generator,
        *,
        n_train_pre_nms=2000,
        n_train_post_nms=2000,
        n_test_pre_nms=1000,
        n_test_post_nms=1000,
        nms_thresh=0.7,
        min_size=1e-3,
        score_thresh=0.0,
        inclusive=False,
        clip_to_batch=False,
    ):
        super().__init__()
        self.anchor_generator = anchor_generator
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.n_train_pre_nms = n_train_pre_nms
        self.n_train_post_nms = n_train_post_nms
        self.n_test_pre_nms = n_test_pre_nms
        self.n_test_post_nms = n_test_post_nms
        self.nms_thresh = nms_thresh
        self.min_size = min_size
        self.score_thresh = score_thresh
        self.inclusive = inclusive
        self.clip_to_batch = clip_to_batch
        with self.init_scope():
            self.head = head

    def forward(self, hs, image_sizes, padded_size):
        """Propose regions for a batch.

        Args:
            hs (list of Variable): (B, C, H_l, W_l), finest first.
            image_sizes (sequence of (int, int)): Height and width of each image within the batch.
            padded_size ((int, int)): Height and width of the batch.

        Returns:
            list of array: Per image, float32 or float64, (R, 4), yxyx in batch pixels, by descending score.
        """
        logits, deltas = self.head(hs)  # levels of (B, N_l), (B, N_l, 4)
        anchors = self.anchors(hs, padded_size)  # levels of (N_l, 4)
        return self.propose(logits, deltas, anchors, image_sizes, padded_size)  # images of (R, 4)

    def anchors(self, hs, padded_size):
        """Make the anchors of every level.

        Args:
            hs (list of Variable): The pyramid.
            padded_size ((int, int)): Height and width of the batch.

        Returns:
            list of array: float32, (H_l * W_l * A, 4), yxyx.
        """
        return self.anchor_generator([h.shape[2:] for h in hs], padded_size, backend.get_array_module(hs[0]))

    def propose(self, logits, deltas, anchors, image_sizes, padded_size=None):
        """Turn the head's output into proposals: best of each level, decoded, clipped, suppressed.

        Args:
            logits (list of Variable): Per level, (B, N_l).
            deltas (list of Variable): Per level, (B, N_l, 4).
            anchors (list of array): Per level, (N_l, 4), yxyx.
            image_sizes (sequence of (int, int)): Height and width of each image.
            padded_size ((int, int) or None): Height and width of the batch, which proposals may fill with
                ``clip_to_batch``.

        Returns:
            list of array: Per image, float32 or float64, (R, 4), yxyx, by descending score.

        Raises:
            ValueError: if padded_size is None with ``clip_to_batch``.
        """
        if self.clip_to_batch:
            if padded_size is None:
                raise ValueError("RegionProposalNetwork: padded_size must be given with clip_to_batch, got None")
            image_sizes = [padded_size] * len(image_sizes)  # images of (height, width)
        if chainer.config.train:
            n_pre_nms, n_post_nms = self.n_train_pre_nms, self.n_train_post_nms
        else:
            n_pre_nms, n_post_nms = self.n_test_pre_nms, self.n_test_post_nms
        proposals = []
        for i, size in enumerate(image_sizes):
            bboxes, scores, levels = [], [], []
            for level, (logit, delta, anchor) in enumerate(zip(logits, deltas, anchors, strict=True)):
                logit, delta = logit.array[i], delta.array[i]  # (N_l,), (N_l, 4)
                best = top_k(logit, n_pre_nms)  # (R_l,)
                bboxes.append(self.box_coder.decode(delta[best], anchor[best])[:, 0])  # (R_l, 4)
                scores.append(logit[best])
                levels.append(self.xp.full(len(best), level, dtype="int32"))
            bbox = clip(self.xp.concatenate(bboxes), size)  # (R, 4)
            score, level = self.xp.concatenate(scores), self.xp.concatenate(levels)
            good = large_enough(bbox, self.min_size) & (F.sigmoid(score).array >= self.score_thresh)
            bbox, score, level = bbox[good], score[good], level[good]
            keep = batched_nms(bbox, score, level, self.nms_thresh, inclusive=self.inclusive)[:n_post_nms]
            proposals.append(bbox[keep])
        return proposals
