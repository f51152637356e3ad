"""Mask R-CNN: a Faster R-CNN that also outlines what it finds."""

import dataclasses

from chainer.backends import cuda

from chainfpn._typing import Arrays, Sizes
from chainfpn.functions.kernels import compute_dtype
from chainfpn.links.detectors.detector import check_shape
from chainfpn.links.detectors.faster_rcnn import FasterRCNN
from chainfpn.links.detectors.paste_masks import paste_masks


class MaskRCNN(FasterRCNN):
    """Detect, then outline each object within its box; ``predict`` returns masks, too.

    The arguments are those of :class:`~chainfpn.links.FasterRCNN`; ``roi_heads`` must have a ``mask_head`` and a
    ``mask_predictor``. Training takes masks: per image, bool, (R, H, W).

    Attributes:
        paste (callable): Pastes masks into the image: :func:`paste_masks`.

    Source:
        He et al. 2017; torchvision 0.14 ``MaskRCNN``.
    """

    fields = (*FasterRCNN.fields, "mask")
    extra_targets = ("masks",)
    paste = staticmethod(paste_masks)

    def prepare_extra_targets(self, imgs: Arrays, sizes: Sizes, bboxes: Arrays, *extras: Arrays) -> tuple[Arrays, ...]:
        """Check the masks, and bring them to the device; see :meth:`Detector.prepare_extra_targets`."""
        (masks,) = extras
        for i, (img, bbox, mask) in enumerate(zip(imgs, bboxes, masks, strict=True)):
            check_shape(f"masks[{i}]", mask, (len(bbox), *img.shape[1:]))
        return ([self.xp.asarray(cuda.to_cpu(mask), dtype=bool) for mask in masks],)

    def _postprocess(self, raw, img_size, size):
        found = super()._postprocess(raw, img_size, size)
        mask = found.mask.astype(compute_dtype(found.mask.dtype), copy=False)  # (R, 28, 28)
        return dataclasses.replace(found, mask=self.paste(mask, found.bbox, img_size))
