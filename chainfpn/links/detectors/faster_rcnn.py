"""Faster R-CNN: a backbone, a region proposal network and the heads on its proposals."""

from collections.abc import Callable, Sequence
from typing import Any

from chainfpn._typing import Array, Size, Variable
from chainfpn.links.detectors._options import Forwarded
from chainfpn.links.detectors.detector import Detector, RawDetections


class FasterRCNN(Detector):
    """Propose regions, then classify them and refine their boxes.

    ``score_thresh`` and ``nms_thresh`` are those of ``roi_heads``.

    Args:
        backbone (callable): Batch (B, 3, H, W) to a list of maps, finest first.
        rpn (callable): A :class:`~chainfpn.links.RegionProposalNetwork`.
        roi_heads (callable): A :class:`~chainfpn.links.RoIHeads`.
        n_fg_class (int): Number of labels, background excluded.
        class_ids (sequence of int or None): See :class:`~chainfpn.links.Detector`.
        label_names (sequence of str or None): See :class:`~chainfpn.links.Detector`.
        preprocess (callable or None): See :class:`~chainfpn.links.Detector`.
        n_roi_levels (int or None): Number of levels that proposals are pooled from, finest first; all but the last by
            default.

    Source:
        Ren et al. 2015; Lin et al. 2017; torchvision 0.14 ``FasterRCNN``.
    """

    score_thresh = Forwarded("roi_heads")
    nms_thresh = Forwarded("roi_heads")

    def __init__(
        self,
        backbone: Any,
        rpn: Any,
        roi_heads: Any,
        *,
        n_fg_class: int,
        class_ids: Sequence[int] | None = None,
        label_names: Sequence[str] | None = None,
        preprocess: Callable | None = None,
        n_roi_levels: int | None = None,
    ) -> None:
        super().__init__(
            n_fg_class=n_fg_class,
            class_ids=class_ids,
            label_names=label_names,
            preprocess=preprocess,
            score_thresh=None,
            nms_thresh=None,
        )
        self.n_roi_levels = n_roi_levels
        with self.init_scope():
            self.backbone = backbone
            self.rpn = rpn
            self.roi_heads = roi_heads
        self._evaluate = roi_heads.score_thresh, roi_heads.nms_thresh

    def forward(self, x: Variable, sizes: Sequence[Size]) -> list[RawDetections]:
        """Detect objects in a prepared batch.

        Args:
            x (Variable): (B, 3, H, W).
            sizes (sequence of (int, int)): Height and width of each image within the batch.

        Returns:
            list of RawDetections: One per image, in the pixels of the batch.
        """
        hs = self.backbone(x)  # levels of (B, C, H_l, W_l)
        proposals = self.rpn(hs, sizes, x.shape[2:])  # images of (R, 4)
        return self.roi_heads.detect(self.roi_levels(hs), proposals, sizes)

    def losses(
        self,
        x: Variable,
        sizes: Sequence[Size],
        gt_bboxes: Sequence[Array],
        gt_classes: Sequence[Array],
        *extras: Sequence[Array],
    ) -> dict[str, Variable]:
        """Compute the losses of a prepared batch.

        Args:
            x (Variable): (B, 3, H, W).
            sizes (sequence of (int, int)): Height and width of each image within the batch.
            gt_bboxes (sequence of array): Per image, float, (R, 4), yxyx in pixels of the batch.
            gt_classes (sequence of array): Per image, int32, (R,), class ids.
            *extras (sequence of array): Per image, what :meth:`prepare_extra_targets` returned.

        Returns:
            dict: ``rpn_objectness``, ``rpn_box``, ``roi_class``, ``roi_box``, of a Mask R-CNN ``mask``, of a Keypoint
            R-CNN ``keypoint``: Variables, float32 or float64, ().
        """
        hs = self.backbone(x)  # levels of (B, C, H_l, W_l)
        proposals, losses = self.rpn.losses(hs, sizes, x.shape[2:], gt_bboxes)
        named = dict(zip(self.extra_targets, extras, strict=True))
        return losses | self.roi_heads.losses(self.roi_levels(hs), proposals, sizes, gt_bboxes, gt_classes, **named)

    def roi_levels(self, hs: Sequence[Variable]) -> Sequence[Variable]:
        """Choose the levels that proposals are pooled from.

        Args:
            hs (sequence of Variable): The pyramid, finest first.

        Returns:
            sequence of Variable: The first of them.
        """
        return hs[: len(hs) - 1 if self.n_roi_levels is None else self.n_roi_levels]
