"""Faster R-CNN: a backbone, a region proposal network and the heads on its regions."""

import chainer
import numpy as np
from chainer.backends import cuda

from chainfpn.links.detectors.preparation import Preparation

#: Score and NMS thresholds by use: for scoring, torchvision's; for looking at, ChainerCV's.
PRESETS = {"evaluate": (0.05, 0.5), "visualize": (0.7, 0.5)}


class FasterRCNN(chainer.Chain):
    """Detect objects, with torchvision's numbers behind ChainerCV's interface.

    The preset is ``'evaluate'`` until :meth:`use_preset` says otherwise.

    Args:
        backbone (callable): Batch (B, 3, H, W) to a list of maps, finest first.
        rpn (callable): A :class:`~chainfpn.links.RegionProposalNetwork`.
        roi_heads (callable): A :class:`~chainfpn.links.RoIHeads`.
        n_fg_class (int): Number of labels, background excluded.
        raw_labels (sequence of int or None): For each label the index of the network's output; 1, 2, 3 ... by
            default. A detection of an output that is not listed is dropped, last of all.
        label_names (sequence of str or None): Names of the labels, for those who draw.
        preparation (callable or None): Images to batch and sizes; a :class:`~chainfpn.links.Preparation` with
            torchvision's numbers by default.
        n_roi_levels (int or None): Number of levels that regions are pooled from, finest first; all but the last by
            default.

    Attributes:
        score_thresh (float): Only detections with a score above it are returned.
        nms_thresh (float): IoU above which the lower-scored of two detections of a class goes.

    Raises:
        ValueError: if raw_labels or label_names has not n_fg_class entries.

    Source:
        Ren et al. 2015; Lin et al. 2017; torchvision 0.14 ``FasterRCNN``; ChainerCV 0.13 ``FasterRCNN`` (interface).
    """

    def __init__(
        self,
        backbone,
        rpn,
        roi_heads,
        *,
        n_fg_class,
        raw_labels=None,
        label_names=None,
        preparation=None,
        n_roi_levels=None,
    ):
        super().__init__()
        raw_labels = tuple(range(1, n_fg_class + 1)) if raw_labels is None else tuple(raw_labels)
        for name, values in (("raw_labels", raw_labels), ("label_names", label_names)):
            if values is not None and len(values) != n_fg_class:
                raise ValueError(f"FasterRCNN: {name} must have n_fg_class = {n_fg_class} entries, got {len(values)}")
        self.n_fg_class = n_fg_class
        self.raw_labels = raw_labels
        self.label_names = None if label_names is None else tuple(label_names)
        self.preparation = Preparation() if preparation is None else preparation
        self.n_roi_levels = n_roi_levels
        self.use_preset("evaluate")
        with self.init_scope():
            self.backbone = backbone
            self.rpn = rpn
            self.roi_heads = roi_heads

    def use_preset(self, preset):
        """Set ``score_thresh`` and ``nms_thresh``.

        Args:
            preset (str): ``'evaluate'`` (0.05 and 0.5, torchvision's) or ``'visualize'`` (0.7 and 0.5, ChainerCV's).

        Raises:
            ValueError: if preset is another word.
        """
        if preset not in PRESETS:
            raise ValueError(f"use_preset: preset must be one of {sorted(PRESETS)}, got {preset!r}")
        self.score_thresh, self.nms_thresh = PRESETS[preset]

    def prepare(self, imgs):
        """Normalize, resize and pad images to one batch on the model's device.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255.

        Returns:
            tuple: The batch, (B, 3, H', W') in the dtype of the model, and the list of (height, width) of each image
            in it.
        """
        x, sizes = self.preparation(imgs)
        return self.xp.asarray(x.astype(chainer.get_dtype(map_mixed16=np.float16), copy=False)), sizes

    def forward(self, x, sizes):
        """Detect objects in a prepared batch.

        Args:
            x (Variable): (B, 3, H, W).
            sizes (sequence of (int, int)): Height and width of each image within the batch.

        Returns:
            list of Detection: One per image, in the pixels of the batch.
        """
        hs = self.backbone(x)
        proposals = self.rpn(hs, sizes, x.shape[2:])
        n_levels = len(hs) - 1 if self.n_roi_levels is None else self.n_roi_levels
        logits, deltas = self.roi_heads(hs[:n_levels], proposals, sizes)
        return self.roi_heads.detect(
            logits, deltas, proposals, sizes, score_thresh=self.score_thresh, nms_thresh=self.nms_thresh
        )

    def predict(self, imgs):
        """Detect objects in images.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, of any sizes.

        Returns:
            tuple of three lists, an entry per image:

            * bboxes: float32, (R, 4), yxyx in pixels of the image.
            * labels: int32, (R,), in [0, n_fg_class).
            * scores: float32, (R,), descending.
        """
        x, sizes = self.prepare(imgs)
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            detections = self(x, sizes)
        bboxes, labels, scores = [], [], []
        for img, size, detection in zip(imgs, sizes, detections, strict=True):
            bbox, output, score = (cuda.to_cpu(array) for array in detection)
            ratio = np.array(img.shape[1:], dtype=np.float32) / np.array(size, dtype=np.float32)
            label, named = self._labels(output)
            bboxes.append((bbox.astype(np.float32, copy=False) * np.tile(ratio, 2))[named])
            labels.append(label[named])
            scores.append(score.astype(np.float32, copy=False)[named])
        return bboxes, labels, scores

    def _labels(self, output):
        """Turn indices of outputs into labels, and tell which of them have one."""
        table = np.full(max(self.raw_labels) + 1, -1, dtype=np.int32)
        table[list(self.raw_labels)] = np.arange(self.n_fg_class)
        label = np.full(len(output), -1, dtype=np.int32)
        known = output < len(table)
        label[known] = table[output[known]]
        return label, label >= 0
