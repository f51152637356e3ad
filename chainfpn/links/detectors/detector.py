"""What all detectors share: images in, ChainerCV's lists out."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

import chainer
import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Array, Size
from chainfpn.links.detectors.detections import Detections
from chainfpn.links.detectors.preprocess import Preprocess


class RawDetections(NamedTuple):
    """What the network finds in one image of a batch, on its device.

    Attributes:
        bbox (array): float, (R, 4), yxyx in pixels of the batch.
        class_id (array): int32, (R,), index of the network's output.
        score (array): float, (R,), descending.
        mask (array or None): float, (R, S, S), probability of each cell of a grid over the box, of a Mask R-CNN.
        point (array or None): float, (R, K, 2), yx, of a Keypoint R-CNN.
        point_score (array or None): float, (R, K), of a Keypoint R-CNN.
    """

    bbox: Array
    class_id: Array
    score: Array
    mask: Array | None = None
    point: Array | None = None
    point_score: Array | None = None


class Detector(chainer.Chain):
    """Base of the detectors: presets, preprocess, labels, ``detect`` and ``predict``.

    A subclass has a ``forward(x, sizes)`` that returns :class:`RawDetections` per image of a prepared batch. The preset
    is ``'evaluate'`` until :meth:`use_preset` says otherwise.

    Args:
        n_fg_class (int): Number of labels, background excluded.
        class_ids (sequence of int or None): For each label the index of the network's output; 1, 2, 3 ... by
            default. A detection of a class that is not listed is dropped, last of all.
        label_names (sequence of str or None): Names of the labels, for those who draw.
        preprocess (callable or None): Images to batch and sizes; a :class:`~chainfpn.links.Preprocess` with
            torchvision's numbers by default.

    Attributes:
        score_thresh (float): Only detections with a score above it are returned.
        nms_thresh (float): IoU above which the lower-scored of two detections of a class goes.
        meta (dict): What the builder was told, for :func:`chainfpn.save_weights`.

    Raises:
        ValueError: if class_ids or label_names has not n_fg_class entries.

    Source:
        ChainerCV 0.13 ``FasterRCNN`` (the interface).
    """

    #: Preset to score and NMS thresholds: for scoring, torchvision's; for looking at, ChainerCV's.
    presets = MappingProxyType({"evaluate": (0.05, 0.5), "visualize": (0.7, 0.5)})
    #: The fields of :class:`Detections` that ``predict`` returns.
    fields: tuple[str, ...] = ("bbox", "label", "score")

    def __init__(self, *, n_fg_class, class_ids=None, label_names=None, preprocess=None):
        super().__init__()
        class_ids = tuple(range(1, n_fg_class + 1)) if class_ids is None else tuple(class_ids)
        for name, values in (("class_ids", class_ids), ("label_names", label_names)):
            if values is not None and len(values) != n_fg_class:
                raise ValueError(f"Detector: {name} must have n_fg_class = {n_fg_class} entries, got {len(values)}")
        self.meta = {}
        self.n_fg_class = n_fg_class
        self.class_ids = class_ids
        self.label_names = None if label_names is None else tuple(label_names)
        self.preprocess = Preprocess() if preprocess is None else preprocess
        self.use_preset("evaluate")

    def use_preset(self, preset):
        """Set ``score_thresh`` and ``nms_thresh``.

        Args:
            preset (str): ``'evaluate'`` (torchvision's thresholds) or ``'visualize'`` (ChainerCV's, for drawing).

        Raises:
            ValueError: if preset is another word.
        """
        if preset not in self.presets:
            raise ValueError(f"use_preset: preset must be one of {sorted(self.presets)}, got {preset!r}")
        self.score_thresh, self.nms_thresh = self.presets[preset]

    def prepare(self, imgs):
        """Normalize, resize and pad images to one batch on the model's device.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, NumPy or CuPy.

        Returns:
            tuple: The batch, (B, 3, H', W') in the dtype Chainer is configured for, and the list of (height, width)
            of each image in it.

        Raises:
            ValueError: if there is no image, or one that is not (3, H, W) with at least one pixel.
        """
        dtype = chainer.get_dtype(map_mixed16=np.float16)
        x, sizes = self.preprocess(imgs, np.float64 if dtype == np.float64 else np.float32)
        return self.xp.asarray(x.astype(dtype, copy=False)), sizes

    def detect(self, imgs: Sequence[Array]) -> list[Detections]:
        """Detect objects in images.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, of any sizes, NumPy or CuPy.

        Returns:
            list of Detections: One per image, NumPy arrays in pixels of the image.

        Raises:
            ValueError: if there is no image, or one that is not (3, H, W) with at least one pixel.
        """
        imgs = list(imgs)
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            x, sizes = self.prepare(imgs)
            raws = self(x, sizes)
        return [self._postprocess(raw, img.shape[1:], size) for raw, img, size in zip(raws, imgs, sizes, strict=True)]

    def predict(self, imgs: Sequence[Array]) -> tuple[list[Array], ...]:
        """Detect objects in images, as ChainerCV returns them: a list per field, not a record per image.

        Args:
            imgs (sequence of array): As for :meth:`detect`.

        Returns:
            tuple of list of array: The ``fields`` of the :class:`Detections` of each image: bboxes, labels, scores, of
            a Mask R-CNN masks, of a Keypoint R-CNN points and point_scores.

        Raises:
            ValueError: if there is no image, or one that is not (3, H, W) with at least one pixel.
        """
        detections = self.detect(imgs)
        return tuple([getattr(found, field) for found in detections] for field in self.fields)

    def _postprocess(self, raw: RawDetections, img_size: Size, size: Size) -> Detections:
        """Map the detections of one image to its pixels and labels, on the CPU."""
        label = self._labels(cuda.to_cpu(raw.class_id))
        bbox, _, score, *extras = (None if array is None else cuda.to_cpu(array)[label >= 0] for array in raw)
        bbox = bbox.astype(np.float32, copy=False) * scale(to=img_size, of=size)
        return Detections(bbox, label[label >= 0], score.astype(np.float32, copy=False), *extras)

    def _labels(self, class_id):
        """Map class ids to labels, -1 where there is none."""
        table = np.full(max(self.class_ids, default=0) + 1, -1, dtype=np.int32)
        table[list(self.class_ids)] = np.arange(self.n_fg_class)
        return np.where(class_id < len(table), table[np.minimum(class_id, len(table) - 1)], np.int32(-1))


def scale(*, to, of):
    """Return the factors by which resizing an image multiplies its yxyx boxes.

    Args:
        to ((int, int)): Height and width that the image gets.
        of ((int, int)): Height and width of the image that the boxes are in.

    Returns:
        array: float32, (4,).

    Example:
        >>> scale(to=(20, 90), of=(10, 30))
        array([2., 3., 2., 3.], dtype=float32)
    """
    return np.tile(np.array(to, dtype=np.float32) / np.array(of, dtype=np.float32), 2)
