"""The second stage: what is in each proposed region, and where exactly."""

import chainer
import chainer.functions as F

from chainfpn.boxes.box_coder import BoxCoder
from chainfpn.boxes.non_maximum_suppression import batched_nms
from chainfpn.boxes.selection import at_least, clip
from chainfpn.functions import multi_scale_roi_align
from chainfpn.links.detectors.detector import Detection


class RoIHeads(chainer.Chain):
    """Pool the regions from the pyramid, classify them and refine their boxes.

    Args:
        box_head (callable): Pooled features (R', C, outsize, outsize) to representations (R', D).
        box_predictor (callable): Representations to class logits and deltas.
        outsize (int): Side of the grid that a region is pooled to.
        sampling_ratio (int): Samples per bin and axis; 0 adapts to the size of the region.
        n_detections (int): Most detections per image.
        min_size (float): Smallest side of a detection in pixels.

    Source:
        Lin et al. 2017, section 4.2; torchvision 0.14 ``RoIHeads``, ``FasterRCNN`` (the numbers).
    """

    def __init__(self, box_head, box_predictor, *, outsize=7, sampling_ratio=2, n_detections=100, min_size=1e-2):
        super().__init__()
        self.box_coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
        self.outsize = outsize
        self.sampling_ratio = sampling_ratio
        self.n_detections = n_detections
        self.min_size = min_size
        with self.init_scope():
            self.box_head = box_head
            self.box_predictor = box_predictor

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
        xp = self.xp
        rois = xp.concatenate(proposals)  # (R', 4)
        roi_indices = xp.concatenate([xp.full(len(p), i, dtype="int32") for i, p in enumerate(proposals)])  # (R',)
        pooled = multi_scale_roi_align(
            hs, rois, roi_indices, self.outsize, image_sizes, sampling_ratio=self.sampling_ratio
        )  # (R', C, outsize, outsize)
        return self.box_predictor(self.box_head(pooled))

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
            list of Detection: One per image.
        """
        xp = self.xp
        scores = F.softmax(logits).array  # (R', K)
        bboxes = self.box_coder.decode(deltas.array, xp.concatenate(proposals))  # (R', K, 4)
        detections, start = [], 0
        for proposal, size in zip(proposals, image_sizes, strict=True):
            stop = start + len(proposal)
            region, output = xp.nonzero(scores[start:stop, 1:] > score_thresh)  # background left out
            output += 1
            bbox, score = clip(bboxes[start:stop][region, output], size), scores[start:stop][region, output]
            (large,) = xp.nonzero(at_least(bbox, self.min_size))
            bbox, output, score = bbox[large], output[large].astype("int32"), score[large]
            keep = batched_nms(bbox, score, output, nms_thresh)[: self.n_detections]
            detections.append(Detection(bbox[keep], output[keep], score[keep]))
            start = stop
        return detections
