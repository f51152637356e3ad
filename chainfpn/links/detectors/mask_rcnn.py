"""Mask R-CNN: a Faster R-CNN that also outlines what it finds."""

import dataclasses

import chainer.functions as F
import numpy as np

from chainfpn.links.detectors.faster_rcnn import FasterRCNN
from chainfpn.links.detectors.mask_head import paste_masks


class MaskRCNN(FasterRCNN):
    """Detect, then outline each object within its box; ``predict`` returns masks, too.

    The arguments are those of :class:`~chainfpn.links.FasterRCNN`; ``roi_heads`` must have a ``mask_head`` and a
    ``mask_predictor``.

    Attributes:
        paste (callable): Lays masks over the image: :func:`paste_masks`.

    Source:
        He et al. 2017; torchvision 0.14 ``MaskRCNN``.
    """

    fields = (*FasterRCNN.fields, "mask")
    paste = staticmethod(paste_masks)

    def _complete(self, hs, detections, sizes):
        if not any(len(detection.bbox) for detection in detections):
            return [detection._replace(mask=self.xp.empty((0, 1, 1), hs[0].dtype)) for detection in detections]
        maps = self.roi_heads.look_closer("mask", hs, detections, sizes)  # images of (R, K, 28, 28)
        return [
            detection._replace(mask=F.sigmoid(logits[self.xp.arange(len(logits)), detection.class_id]).array)
            for detection, logits in zip(detections, maps, strict=True)
        ]

    def _postprocess(self, raw, img_size, size):
        found = super()._postprocess(raw, img_size, size)
        mask = found.mask.astype(np.promote_types(found.mask.dtype, np.float32), copy=False)  # (R, 28, 28)
        return dataclasses.replace(found, mask=self.paste(mask, found.bbox, img_size))
