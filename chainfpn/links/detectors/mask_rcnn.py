"""Mask R-CNN: a Faster R-CNN that also outlines what it finds."""

import chainer.functions as F
import numpy as np
from chainer.backends import cuda

from chainfpn.links.detectors.faster_rcnn import FasterRCNN
from chainfpn.links.detectors.mask_head import paste_masks


class MaskRCNN(FasterRCNN):
    """Detect, then tell the pixels of each object from the rest of its box.

    The arguments are those of :class:`~chainfpn.links.FasterRCNN`; ``roi_heads`` must have a ``mask_head`` and a
    ``mask_predictor``.

    Attributes:
        paste (callable): Lays masks over the image: :func:`paste_masks`.

    Source:
        He et al. 2017; torchvision 0.14 ``MaskRCNN``.
    """

    paste = staticmethod(paste_masks)

    def predict(self, imgs):
        """Detect and outline objects in images.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, of any sizes, NumPy or CuPy.

        Returns:
            tuple of four lists of NumPy arrays, an entry per image:

            * bboxes: float32, (R, 4), yxyx in pixels of the image.
            * labels: int32, (R,), in [0, n_fg_class).
            * scores: float32, (R,), descending.
            * masks: bool, (R, H, W), True where the object is.

        Raises:
            ValueError: if there is no image, or one that is not (3, H, W) with at least one pixel.
        """
        return super().predict(imgs)

    def _complete(self, hs, detections, sizes):
        if not any(len(detection.bbox) for detection in detections):
            return [detection._replace(mask=self.xp.empty((0, 1, 1), hs[0].dtype)) for detection in detections]
        maps = self.roi_heads.look_closer("mask", hs, detections, sizes)  # images of (R, K, 28, 28)
        return [
            detection._replace(mask=F.sigmoid(logits[self.xp.arange(len(logits)), detection.output]).array)
            for detection, logits in zip(detections, maps, strict=True)
        ]

    def _finish(self, detection, img_size, size):
        bbox, label, score = super()._finish(detection, img_size, size)
        named = self._labels(cuda.to_cpu(detection.output)) >= 0
        mask = cuda.to_cpu(detection.mask)[named]  # (R, 28, 28)
        mask = mask.astype(np.promote_types(mask.dtype, np.float32), copy=False)
        return bbox, label, score, self.paste(mask, bbox, img_size)
