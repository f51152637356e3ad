"""Keypoint R-CNN: a Faster R-CNN that also finds the joints of what it finds."""

import numpy as np
from chainer.backends import cuda

from chainfpn.links.detectors.detector import scale
from chainfpn.links.detectors.faster_rcnn import FasterRCNN
from chainfpn.links.detectors.keypoint_head import find_keypoints


class KeypointRCNN(FasterRCNN):
    """Detect, then find the keypoints of each object.

    The arguments are those of :class:`~chainfpn.links.FasterRCNN`; ``roi_heads`` must have a ``keypoint_head`` and a
    ``keypoint_predictor``.

    Source:
        He et al. 2017, section 5; torchvision 0.14 ``KeypointRCNN``.
    """

    def predict(self, imgs):
        """Detect objects and their keypoints in images.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, of any sizes, NumPy or CuPy.

        Returns:
            tuple of five lists of NumPy arrays, an entry per image:

            * bboxes: float32, (R, 4), yxyx in pixels of the image.
            * labels: int32, (R,), in [0, n_fg_class).
            * scores: float32, (R,), descending.
            * points: float32, (R, K, 2), yx in pixels of the image.
            * point_scores: float32, (R, K), the logit at each point.

        Raises:
            ValueError: if there is no image, or one that is not (3, H, W) with at least one pixel.
        """
        return super().predict(imgs)

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

    def _finish(self, detection, img_size, size):
        bbox, label, score = super()._finish(detection, img_size, size)
        named = self._labels(cuda.to_cpu(detection.output)) >= 0
        point, point_score = (
            cuda.to_cpu(array)[named].astype(np.float32, copy=False)
            for array in (detection.point, detection.point_score)
        )
        return bbox, label, score, point * scale(to=img_size, of=size)[:2], point_score
