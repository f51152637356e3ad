"""Keypoint R-CNN: a Faster R-CNN that also finds the joints of what it finds."""

import dataclasses

import numpy as np
from chainer.backends import cuda

from chainfpn.links.detectors.detector import scale
from chainfpn.links.detectors.faster_rcnn import FasterRCNN
from chainfpn.links.detectors.keypoint_head import find_keypoints


class KeypointRCNN(FasterRCNN):
    """Detect, then find the keypoints of each object; ``predict`` returns points and point_scores, too.

    The arguments are those of :class:`~chainfpn.links.FasterRCNN`; ``roi_heads`` must have a ``keypoint_head`` and a
    ``keypoint_predictor``.

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``KeypointRCNN``.
    """

    fields = (*FasterRCNN.fields, "point", "point_score")

    def _complete(self, hs, detections, sizes):
        n_keypoint = self.roi_heads.keypoint_predictor.n_keypoint
        if not any(len(detection.bbox) for detection in detections):
            point = self.xp.empty((0, n_keypoint, 2), hs[0].dtype)
            return [detection._replace(point=point, point_score=point[..., 0]) for detection in detections]
        maps = self.roi_heads.look_closer("keypoint", hs, detections, sizes)  # images of (R, K, 56, 56)
        completed = []
        for detection, heat in zip(detections, maps, strict=True):
            precise = np.promote_types(heat.dtype, np.float32)  # a peak needs more digits than float16 has
            heat, bbox = (cuda.to_cpu(array).astype(precise, copy=False) for array in (heat, detection.bbox))
            point, score = find_keypoints(heat, bbox)  # (R, K, 2), (R, K)
            completed.append(detection._replace(point=self.xp.asarray(point), point_score=self.xp.asarray(score)))
        return completed

    def _postprocess(self, raw, img_size, size):
        found = super()._postprocess(raw, img_size, size)
        point, point_score = (array.astype(np.float32, copy=False) for array in (found.point, found.point_score))
        return dataclasses.replace(found, point=point * scale(to=img_size, of=size)[:2], point_score=point_score)
