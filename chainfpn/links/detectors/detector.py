"""What all detectors share: images in, ChainerCV's lists out."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import chainer
import numpy as np
from chainer import backend

from chainfpn._option_rules import CheckedOptions
from chainfpn._typing import Array, Arrays, Labels, PathLike, Size, Sizes, Variable
from chainfpn.boxes.filtering import clip
from chainfpn.errors import InvalidArgument
from chainfpn.links.detectors.detections import Detections, RawDetections, download
from chainfpn.links.detectors.preprocess import Preprocess


class Detector(CheckedOptions, chainer.Chain):
    """Base of the detectors: presets, preprocess, labels, ``detect`` and ``predict``.

    A subclass has a ``forward`` and, if it can be trained, ``losses(x, sizes, gt_bboxes, gt_classes, *extras)``, which
    returns a dict of Variables. The preset is ``'evaluate'`` until :meth:`use_preset` changes it.

    Args:
        n_fg_class (int): Number of labels, background excluded.
        class_ids (sequence of int or None): For each label the index of the network's output; 1, 2, 3 ... by
            default. A detection of a class that is not listed is dropped, last of all.
        label_names (sequence of str or None): Names of the labels, for those who draw.
        preprocess (callable or None): Images to batch and sizes; a :class:`~chainfpn.links.Preprocess` with
            torchvision's numbers by default.
        score_thresh (float or None): Only detections with a score above it are returned; None where a part of the
            subclass has it.
        nms_thresh (float or None): IoU above which the lower-scored of two detections of a class goes, likewise.

    Attributes:
        meta (dict): Arguments of the builder, for :func:`chainfpn.save_weights`.

    Raises:
        ValueError: if class_ids or label_names has not n_fg_class entries, or a threshold is out of its range, here or
            when it is set later.

    Source:
        ChainerCV 0.13 ``FasterRCNN`` (the interface).
    """

    #: Score threshold of the preset ``'visualize'``.
    visualize_score_thresh = 0.7
    #: The fields of :class:`Detections` that ``predict`` returns.
    fields: tuple[str, ...] = ("bbox", "label", "score")
    #: Ground truth that the losses take beside boxes and classes, in order.
    extra_targets: tuple[str, ...] = ()
    #: Whether detections are clipped to the photograph, last of all, and dropped if they have no area there.
    clip_to_photograph = False
    #: What computes maps and heads: ``'chainer'``, ``'cuda-graph'`` or ``'onnx'`` (see :meth:`to_engine`).
    engine = "chainer"
    score_thresh: Any
    nms_thresh: Any
    _range_checked = False

    def __init__(
        self, n_fg_class: int, class_ids: Sequence[int] | None = None, label_names: Labels | None = None,
        preprocess: Callable | None = None, score_thresh: float | None = 0.05, nms_thresh: float | None = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        self.n_fg_class = n_fg_class
        self.class_ids = range(1, n_fg_class + 1) if class_ids is None else class_ids
        self.label_names = label_names
        self.preprocess = Preprocess() if preprocess is None else preprocess
        self.meta: dict = {}
        self._evaluate = score_thresh, nms_thresh
        if score_thresh is not None:
            self.use_preset("evaluate")

    def __setattr__(self, name, value):
        if name == "n_fg_class" and value != getattr(self, name, value):
            raise InvalidArgument(type(self).__name__, name, f"left at {self.n_fg_class}", value)
        if name in ("class_ids", "label_names") and value is not None:
            value, n = tuple(value), self.n_fg_class
            if len(value) != n:
                raise ValueError(f"Detector: {name} must have n_fg_class = {n} entries, got {len(value)}")
        super().__setattr__(name, value)
        if name == "meta":
            self._built = type(self.preprocess), getattr(self.preprocess, "arguments", {})

    def current_meta(self) -> dict:
        """Return ``meta``, with what has been set in the preprocess since; not of one of another class."""
        kind, built = self._built
        now = getattr(self.preprocess, "arguments", {}) if type(self.preprocess) is kind else {}
        changed = {key: value for key, value in now.items() if value != built.get(key, value)}
        return {**self.meta, "arguments": {**self.meta["arguments"], **changed}} if self.meta and changed else self.meta

    def use_preset(self, preset: str) -> None:
        """Set ``score_thresh`` and ``nms_thresh``.

        Args:
            preset (str): ``'evaluate'``, the thresholds that the constructor was given, or ``'visualize'``, ChainerCV's
                score threshold for drawing.

        Raises:
            InvalidArgument: if preset is another word.
        """
        if preset not in ("evaluate", "visualize"):
            raise InvalidArgument("use_preset", "preset", "one of ['evaluate', 'visualize']", preset)
        score_thresh, self.nms_thresh = self._evaluate
        self.score_thresh = score_thresh if preset == "evaluate" else self.visualize_score_thresh

    def prepare(self, imgs: Arrays) -> tuple[Array, list[Size]]:
        """Normalize, resize and pad images to one batch on the model's device.

        Args:
            imgs (sequence of array): float32 or uint8, (3, H, W), RGB, 0..255, NumPy or CuPy.

        Returns:
            tuple: The batch, (B, 3, H', W') in the dtype Chainer is configured for, and the list of (height, width)
            of each image in it.

        Raises:
            TypeError: if an image is no array.
            ValueError: if there is no image, or one that is not (3, H, W) with at least one pixel.
        """
        dtype = chainer.get_dtype(map_mixed16=np.float16)
        sent = imgs = list(imgs)
        if self.xp is not np and getattr(self.preprocess, "on_device", False):
            sent = [self.xp.asarray(img) if isinstance(img, np.ndarray) else img for img in imgs]
        x, sizes = self.preprocess(sent, np.float64 if dtype == np.float64 else np.float32)
        self._check_range(imgs[0])
        return self.device.send(x.astype(dtype, copy=False)), sizes

    def _check_range(self, img):
        """Warn, once, if pixels are in 0..1. A black image does not tell; the first other one does."""
        if not self._range_checked:
            largest = float(img.max())
            if largest > 0:
                self._range_checked = True
            if 0 < largest <= 1:
                got = f"got an image whose largest is {largest:.3g}; multiply by 255"
                warnings.warn(f"{type(self).__name__}: pixels must be in 0..255, {got}", stacklevel=5)

    def forward(self, x: Variable, sizes: Sizes) -> list[RawDetections]:
        """Detect objects in a prepared batch.

        Args:
            x (Variable): (B, 3, H, W).
            sizes (list of (int, int)): Height and width of each image within the batch.

        Returns:
            list of RawDetections: One per image, in the pixels of the batch.
        """
        raise NotImplementedError(f"{type(self).__name__}: forward must be defined by the class")

    def prepare_extra_targets(self, imgs: Arrays, sizes: Sizes, bboxes: Arrays, *extras: Arrays) -> tuple[Arrays, ...]:
        """Check the ground truth beside boxes and labels, and bring it into what ``losses`` takes.

        Args:
            imgs (sequence of array): (3, H, W).
            sizes (list of (int, int)): Height and width of each image within the batch.
            bboxes (sequence of array): Per image, (R, 4).
            *extras (sequence of array): Per image, as :attr:`extra_targets` names them.

        Returns:
            tuple of list of array: As many.

        Raises:
            ValueError: if a shape is wrong.
        """
        return ()

    def detect(self, imgs: Arrays) -> list[Detections]:
        """Detect objects in images.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, of any sizes, NumPy or CuPy.

        Returns:
            list of Detections: One per image, NumPy arrays in pixels of the image.

        Raises:
            TypeError: if an image is no array.
            ValueError: if one is not (3, H, W) with at least one pixel.
        """
        imgs = list(imgs)
        if not imgs:
            return []
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            x, sizes = self.prepare(imgs)
            raws = self(x, sizes)
            raws = raws if self.xp is np else download(raws)
        return [self._postprocess(raw, img.shape[1:], size) for raw, img, size in zip(raws, imgs, sizes, strict=True)]

    def predict(self, imgs: Arrays) -> tuple[list[Array], ...]:
        """Detect objects in images, as ChainerCV returns them: a list per field, not a record per image.

        Args:
            imgs (sequence of array): As for :meth:`detect`.

        Returns:
            tuple of list of array: The ``fields`` of the :class:`Detections` of each image: bboxes, labels, scores, of
            a Mask R-CNN masks, of a Keypoint R-CNN points and point_scores.

        Raises:
            TypeError: if an image is no array.
            ValueError: if one is not (3, H, W) with at least one pixel.
        """
        detections = self.detect(imgs)
        return tuple([getattr(found, field) for found in detections] for field in self.fields)

    def to_engine(
        self, name: str, *, threads: int | None = None, cache: PathLike | None = None, n_images: int | None = None
    ) -> "Detector":
        """Return the detector on another engine, which computes maps and heads; all else stays as it is.

        The engine ``'onnx'`` is ONNX Runtime: on a CPU, in float32, for batches and images of any size, and not for
        training. It has a copy of the weights as they are now; this detector stays as it is.

        The engine ``'cuda-graph'`` is Chainer on a GPU; for a shape of batch that comes again all kernels up to the
        heads are launched as one CUDA graph, if it gave the same numbers and took no longer. The weights are those of
        this detector. What learns, and what hooks watch, is launched kernel by kernel.

        Args:
            name (str): ``'chainer'``; ``'cuda-graph'``; ``'onnx'``; or ``'auto'``, which is ``'onnx'`` for a detector
                on a CPU where the extra ``onnx`` is installed, else ``'chainer'``.
            threads (int or None): Threads of ONNX Runtime, and of the links here behind it; by default
                ``OMP_NUM_THREADS``, else ``NUMBA_NUM_THREADS``, or one for each core.
            cache (str, os.PathLike or None): Where the exported files are kept and, if they are of these weights,
                taken from: the first is ``cache`` itself.
            n_images (int or None): How many are to be detected in, if that is known. For 1, and without ``cache``,
                ONNX Runtime computes all maps and heads, and nothing is measured.

        Returns:
            Detector: Of the same class; this one if it is on that engine already.

        Raises:
            ImportError: if the extra ``onnx`` is not installed.
            InvalidArgument: if there is no such engine, or not for a detector on this device or of this dtype.

        Example:
            >>> from chainfpn import models
            >>> detector = models.fasterrcnn_resnet50_fpn().to_engine("auto")  # doctest: +SKIP
        """
        from chainfpn.export.engine import with_engine

        return with_engine(self, name, threads=threads, cache=cache, n_images=n_images)

    def _maps(self, x):
        """Return the maps of a batch, finest first; those of an engine may come with the head's ``predictions``."""
        if self.engine == "cuda-graph":
            from chainfpn.links.detectors.cuda_graphs import maps_of

            return maps_of(self, x)
        return self.backbone(x) if hasattr(self, "backbone") else self.fpn(x)

    def _postprocess(self, raw: RawDetections, img_size: Size, size: Size) -> Detections:
        """Map the detections of one image to its pixels and labels, on the CPU."""
        label = self._labels(raw.class_id)
        bbox, score = (array.astype(np.float32, copy=False) for array in (raw.bbox, raw.score))
        bbox, keep = bbox * scale(to=img_size, of=size), label >= 0
        if self.clip_to_photograph:
            bbox = clip(bbox, img_size)
            keep &= (bbox[:, 2:] > bbox[:, :2]).all(axis=1)
        extras = (array if array is None or keep.all() else _take_rows(array, keep) for array in raw[3:])
        return Detections(bbox[keep], label[keep], score[keep], *extras)

    def _labels(self, class_id):
        """Map class ids to labels, -1 where there is none."""
        table = np.full(max(self.class_ids, default=0) + 1, -1, dtype=np.int32)
        table[list(self.class_ids)] = np.arange(self.n_fg_class)
        return np.where(class_id < len(table), table[np.minimum(class_id, len(table) - 1)], np.int32(-1))


def _take_rows(array, keep):
    """Take the rows of an array on any device that a NumPy mask names."""
    return array[backend.get_array_module(array).asarray(np.flatnonzero(keep))]


def scale(*, to: Size, of: Size) -> Array:
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


def check_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise an InvalidArgument if the shape of ground truth, by its name, is not what it must be."""
    if array.shape != shape:
        raise InvalidArgument("TrainChain", name, str(shape), array, got=f"shape {array.shape}")
