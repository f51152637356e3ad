"""Faster R-CNN: a backbone, a region proposal network and the heads on its regions."""

from chainfpn.links.detectors.detector import Detector


class FasterRCNN(Detector):
    """Propose regions, then classify them and refine their boxes.

    Args:
        backbone (callable): Batch (B, 3, H, W) to a list of maps, finest first.
        rpn (callable): A :class:`~chainfpn.links.RegionProposalNetwork`.
        roi_heads (callable): A :class:`~chainfpn.links.RoIHeads`.
        n_fg_class (int): Number of labels, background excluded.
        class_ids (sequence of int or None): See :class:`~chainfpn.links.Detector`.
        label_names (sequence of str or None): See :class:`~chainfpn.links.Detector`.
        preprocess (callable or None): See :class:`~chainfpn.links.Detector`.
        n_roi_levels (int or None): Number of levels that regions are pooled from, finest first; all but the last by
            default.

    Source:
        Ren et al. 2015; Lin et al. 2017; torchvision 0.14 ``FasterRCNN``.
    """

    def __init__(
        self,
        backbone,
        rpn,
        roi_heads,
        *,
        n_fg_class,
        class_ids=None,
        label_names=None,
        preprocess=None,
        n_roi_levels=None,
    ):
        super().__init__(n_fg_class=n_fg_class, class_ids=class_ids, label_names=label_names, preprocess=preprocess)
        self.n_roi_levels = n_roi_levels
        with self.init_scope():
            self.backbone = backbone
            self.rpn = rpn
            self.roi_heads = roi_heads

    def forward(self, x, sizes):
        """Detect objects in a prepared batch.

        Args:
            x (Variable): (B, 3, H, W).
            sizes (sequence of (int, int)): Height and width of each image within the batch.

        Returns:
            list of RawDetections: One per image, in the pixels of the batch.
        """
        hs = self.backbone(x)  # levels of (B, C, H_l, W_l)
        proposals = self.rpn(hs, sizes, x.shape[2:])  # images of (R_i, 4)
        hs = self.roi_levels(hs)  # levels of (B, C, H_l, W_l)
        logits, deltas = self.roi_heads(hs, proposals, sizes)  # (R', K), (R', 4K)
        detections = self.roi_heads.detect(
            logits, deltas, proposals, sizes, score_thresh=self.score_thresh, nms_thresh=self.nms_thresh
        )  # images of (R, 4), (R,), (R,)
        return self._complete(hs, detections, sizes)  # images of (R, 4), (R,), (R,), and masks or points

    def roi_levels(self, hs):
        """Choose the levels that regions are pooled from.

        Args:
            hs (list of Variable): The pyramid, finest first.

        Returns:
            list of Variable: The first of them.
        """
        return hs[: len(hs) - 1 if self.n_roi_levels is None else self.n_roi_levels]

    def _complete(self, hs, detections, sizes):
        """Add to the detections what else the subclass finds."""
        return detections
