"""Keypoint R-CNN: a Faster R-CNN that also finds the joints of what it finds."""

import dataclasses

import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Arrays, Sizes
from chainfpn.links.detectors.detector import check_shape, scale
from chainfpn.links.detectors.faster_rcnn import FasterRCNN


class KeypointRCNN(FasterRCNN):
    """Detect, then find the keypoints of each object; ``predict`` returns points and point_scores, too.

    The arguments are those of :class:`~chainfpn.links.FasterRCNN`; ``roi_heads`` must have a ``keypoint_head`` and a
    ``keypoint_predictor``. Training takes points, per image float32 (R, K, 2), yx in its pixels, and which of them are
    visible, bool or integers (R, K), True or > 0.

    Attributes:
        keypoint_names (tuple of str or None): Names of the keypoints.

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``KeypointRCNN``.
    """

    fields = (*FasterRCNN.fields, "point", "point_score")
    extra_targets = ("points", "visible")
    keypoint_names: tuple[str, ...] | None = None

    @property
    def n_keypoint(self) -> int:
        """Keypoints of each object: int."""
        return self.roi_heads.keypoint_predictor.n_keypoint

    def prepare_extra_targets(self, imgs: Arrays, sizes: Sizes, bboxes: Arrays, *extras: Arrays) -> tuple[Arrays, ...]:
        """Check the keypoints, and scale them to the batch; see :meth:`Detector.prepare_extra_targets`."""
        points, visible = extras
        n_keypoint = self.n_keypoint
        for i, (bbox, point, marked) in enumerate(zip(bboxes, points, visible, strict=True)):
            check_shape(f"points[{i}]", point, (len(bbox), n_keypoint, 2))
            check_shape(f"visible[{i}]", marked, (len(bbox), n_keypoint))
        scaled = [
            cuda.to_cpu(point).astype(np.float32) * scale(to=size, of=img.shape[1:])[:2]
            for point, size, img in zip(points, sizes, imgs, strict=True)
        ]
        seen = [cuda.to_cpu(marked) > 0 for marked in visible]
        return [*map(self.xp.asarray, scaled)], [*map(self.xp.asarray, seen)]

    def _postprocess(self, raw, img_size, size):
        found = super()._postprocess(raw, img_size, size)
        point, point_score = (array.astype(np.float32, copy=False) for array in (found.point, found.point_score))
        return dataclasses.replace(found, point=point * scale(to=img_size, of=size)[:2], point_score=point_score)
