"""The second stage: what is in each proposed region, and where exactly."""

import itertools

import chainer
import chainer.functions as F

from chainfpn.boxes._nms import batched_nms
from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.boxes.filtering import clip, large_enough
from chainfpn.functions import multi_scale_roi_align
from chainfpn.links.detectors.detector import RawDetections


class RoIHeads(chainer.Chain):
    """Pool the regions from the pyramid, classify them and refine their boxes.

    Args:
        box_head (callable): Pooled features (R', C, outsize, outsize) to representations (R', D).
        box_predictor (callable): Representations to class logits and deltas.
        outsize (int): Side of the grid that a region is pooled to.
        sampling_ratio (int): Samples per bin and axis; 0 adapts to the size of the region.
        n_detections (int or None): Most detections per image; None keeps all.
        min_size (float): Smallest side of a detection in pixels.
        inclusive (bool): A detection also stays if its score equals the threshold, and also goes if its IoU with a
            better one equals the threshold.
        mask_head (callable or None): Pooled features of the boxes found, (R', C, 14, 14), to those of the masks.
        mask_predictor (callable or None): Features of the masks to mask logits.
        keypoint_head (callable or None): As ``mask_head``, for keypoints.
        keypoint_predictor (callable or None): Features of the keypoints to heat maps.

    Source:
        Lin et al. 2017, section 4.2; torchvision 0.14 ``RoIHeads``, ``FasterRCNN`` (the numbers).
    """

    def __init__(
        self,
        box_head,
        box_predictor,
        *,
        outsize=7,
        sampling_ratio=2,
        n_detections=100,
        min_size=1e-2,
        inclusive=False,
        mask_head=None,
        mask_predictor=None,
        keypoint_head=None,
        keypoint_predictor=None,
    ):
        super().__init__()
        self.box_coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
        self.outsize = outsize
        self.sampling_ratio = sampling_ratio
        self.n_detections = n_detections
        self.min_size = min_size
        self.inclusive = inclusive
        with self.init_scope():
            self.box_head = box_head
            self.box_predictor = box_predictor
            self.mask_head = mask_head
            self.mask_predictor = mask_predictor
            self.keypoint_head = keypoint_head
            self.keypoint_predictor = keypoint_predictor

    def forward(self, hs, proposals, image_sizes):
        """Classify and refine the proposals of a batch.

        Args:
            hs (list of Variable): The levels that regions are pooled from, (B, C, H_l, W_l), finest first.
            proposals (list of array): Per image, (R_i, 4), yxyx.
            image_sizes (sequence of (int, int)): Height and width of each image within the batch.

        Returns:
            tuple of Variable: Class logits (sum R_i, n_output) and deltas (sum R_i, 4 * n_output), the regions of
            the first image first.
        """
        h = self._pool(hs, proposals, image_sizes, self.outsize)  # (R', C, outsize, outsize)
        h = self.box_head(h)  # (R', D)
        return self.box_predictor(h)  # (R', n_output), (R', 4 * n_output)

    def branch(self, name, hs, bboxes, image_sizes, *, outsize=14):
        """Run another branch on boxes.

        Args:
            name (str): ``'mask'`` or ``'keypoint'``: whose head and predictor.
            hs (list of Variable): The levels that regions are pooled from, (B, C, H_l, W_l), finest first.
            bboxes (list of array): Per image, (R_i, 4), yxyx, at least one box among them.
            image_sizes (sequence of (int, int)): Height and width of each image within the batch.
            outsize (int): Side of the grid that a box is pooled to.

        Returns:
            Variable: What the branch predicts, (sum R_i, ...), the boxes of the first image first.
        """
        pooled = self._pool(hs, bboxes, image_sizes, outsize)  # (R', C, outsize, outsize)
        return self[f"{name}_predictor"](self[f"{name}_head"](pooled))  # (R', ...)

    def look_closer(self, branch, hs, detections, image_sizes):
        """Run another branch on the boxes that were found.

        Args:
            branch (str): See :meth:`branch`.
            hs (list of Variable): The levels that regions are pooled from, (B, C, H_l, W_l), finest first.
            detections (list of RawDetections): One per image, at least one box among them.
            image_sizes (sequence of (int, int)): Height and width of each image within the batch.

        Returns:
            list of array: Per image, what the branch predicts for its boxes, (R_i, ...).
        """
        bboxes = [detection.bbox for detection in detections]
        maps = self.branch(branch, hs, bboxes, image_sizes).array  # (R', ...)
        return self.xp.split(maps, list(itertools.accumulate(map(len, bboxes)))[:-1])

    def _pool(self, hs, bboxes, image_sizes, outsize):
        """Pool the boxes of each image: (R', C, outsize, outsize)."""
        xp = self.xp
        roi_indices = xp.concatenate([xp.full(len(bbox), i, dtype="int32") for i, bbox in enumerate(bboxes)])  # (R',)
        return multi_scale_roi_align(
            hs, xp.concatenate(bboxes), roi_indices, outsize, image_sizes, sampling_ratio=self.sampling_ratio
        )

    def detect(self, logits, deltas, proposals, image_sizes, *, score_thresh, nms_thresh):
        """Turn predictions into detections: softmax, decode, clip, threshold, suppress per class, keep the best.

        Args:
            logits (Variable): (sum R_i, n_output).
            deltas (Variable): (sum R_i, 4 * n_output).
            proposals (list of array): Per image, (R_i, 4), yxyx.
            image_sizes (sequence of (int, int)): Height and width of each image.
            score_thresh (float): Only scores above it are kept.
            nms_thresh (float): IoU above which the lower-scored of two detections of a class goes.

        Returns:
            list of RawDetections: One per image.
        """
        xp = self.xp
        scores = F.softmax(logits).array  # (R', K)
        bboxes = self.box_coder.decode(deltas.array, xp.concatenate(proposals))  # (R', K, 4)
        detections, start = [], 0
        for proposal, size in zip(proposals, image_sizes, strict=True):
            stop = start + len(proposal)
            of_image = scores[start:stop, 1:]  # (R_i, K - 1), the background left out
            region, output = xp.nonzero(of_image >= score_thresh if self.inclusive else of_image > score_thresh)
            output += 1
            bbox, score = clip(bboxes[start:stop][region, output], size), scores[start:stop][region, output]
            (large,) = xp.nonzero(large_enough(bbox, self.min_size))
            bbox, output, score = bbox[large], output[large].astype("int32"), score[large]
            keep = batched_nms(bbox, score, output, nms_thresh, inclusive=self.inclusive)[: self.n_detections]
            detections.append(RawDetections(bbox[keep], output[keep], score[keep]))
            start = stop
        return detections
