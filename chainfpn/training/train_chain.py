"""A detector with its losses: what an optimizer is set up with and an updater calls."""

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Arrays, Losses, Variable
from chainfpn.errors import InvalidArgument, InvalidType
from chainfpn.links.detectors.detector import Detector, scale


class TrainChain(chainer.Chain):
    """Wrap a detector into a chain that returns its loss.

    Called with images and their ground truth, it returns the sum of the detector's losses and reports each, as ``loss``
    and ``loss/...``. What a loss looks at is set on the detector: ``model.rpn.fg_iou_thresh``, for one.

    Args:
        model (chainfpn.links.Detector): The detector.

    Raises:
        InvalidType: if the model is no detector, or one without losses.

    Example:
        >>> from chainfpn import models
        >>> model = models.fasterrcnn_resnet_fpn(18, n_fg_class=1, stages=(1, 2), min_size=64, max_size=64)
        >>> chain = TrainChain(model)
        >>> img = np.zeros((3, 64, 64), np.float32)
        >>> loss = chain([img], [np.array([[8, 8, 40, 48]], np.float32)], [np.array([0], np.int32)])
        >>> chain.cleargrads()
        >>> loss.backward()
    """

    def __init__(self, model: Detector) -> None:
        super().__init__()
        if not hasattr(model, "losses"):
            raise InvalidType("TrainChain", "model", "a detector with losses", model, got=type(model).__name__)
        with self.init_scope():
            self.model = model

    def forward(self, imgs: Arrays, bboxes: Arrays, labels: Arrays, *extras: Arrays) -> Variable:
        """Compute the loss.

        All arrays may be NumPy or CuPy, wherever the model is.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, of any sizes.
            bboxes (sequence of array): Per image, float32, (R, 4), yxyx in its pixels; R may be 0.
            labels (sequence of array): Per image, int32, (R,), in [0, n_fg_class).
            *extras (sequence of array): Per image, what the detector's ``extra_targets`` name: masks of a Mask R-CNN,
                points and visible of a Keypoint R-CNN.

        Returns:
            Variable: float32 (float64 where Chainer is configured so), ().

        Raises:
            ValueError: if a box has no area or something is not of its shape or range.
            FloatingPointError: if a loss is not finite.
        """
        return self.total(self.model.losses(*self.batch(imgs, bboxes, labels, *extras)))

    def batch(self, imgs: Arrays, bboxes: Arrays, labels: Arrays, *extras: Arrays) -> tuple:
        """Check the ground truth, prepare the images, and scale the ground truth to the batch.

        Args:
            imgs (sequence of array): As for :meth:`forward`.
            bboxes (sequence of array): As for :meth:`forward`.
            labels (sequence of array): As for :meth:`forward`.
            *extras (sequence of array): As for :meth:`forward`.

        Returns:
            tuple: The arguments of the detector's ``losses``.

        Raises:
            ValueError: if a box has no area or something is not of its shape or range.
        """
        model = self.model
        names, given = ("bboxes", "labels", *model.extra_targets), (bboxes, labels, *extras)
        if len(given) != len(names):
            raise TypeError(f"TrainChain: {len(names)} lists must follow imgs, {', '.join(names)}, got {len(given)}")
        for name, values in zip(names, given, strict=True):
            if len(values) != len(imgs):
                raise ValueError(f"TrainChain: {name} must have {len(imgs)} entries, one per image, got {len(values)}")
        bboxes, labels = [cuda.to_cpu(bbox) for bbox in bboxes], [cuda.to_cpu(label) for label in labels]
        for i, (bbox, label) in enumerate(zip(bboxes, labels, strict=True)):
            _check_boxes(i, bbox, label, model.n_fg_class)
        x, sizes = model.prepare(imgs)
        dtype = np.promote_types(x.dtype, np.float32)
        class_ids = np.array(model.class_ids, dtype=np.int32)
        scales = [scale(to=size, of=img.shape[1:]).astype(dtype) for size, img in zip(sizes, imgs, strict=True)]
        gt_bboxes = [
            self.xp.asarray(bbox.astype(dtype, copy=False) * factor)
            for bbox, factor in zip(bboxes, scales, strict=True)
        ]
        gt_classes = [self.xp.asarray(class_ids[label.astype(np.int64, copy=False)]) for label in labels]
        return x, sizes, gt_bboxes, gt_classes, *model.prepare_extra_targets(imgs, sizes, bboxes, *extras)

    def total(self, losses: Losses) -> Variable:
        """Sum the losses and report them, as Variables: without their graph unless ``dump_graph`` asks for it.

        The sum is checked in every precision: scaling the loss for mixed precision happens later, so that what
        overflows by that is a gradient, which the optimizer looks after.

        Args:
            losses (dict): Name to Variable, ().

        Returns:
            Variable: float32 or float64, ().

        Raises:
            FloatingPointError: if a loss is not finite.
        """
        loss = F.add(*losses.values())
        if not np.isfinite(float(loss.array)):
            values = {name: float(value.array) for name, value in losses.items()}
            wrong = [f"loss/{name} is {value}" for name, value in values.items() if not np.isfinite(value)]
            raise FloatingPointError(
                f"{type(self.model).__name__}: every loss must be finite, but "
                f"{', '.join(wrong) or f'their sum is {loss}'}; the learning rate may be too high"
            )
        chainer.report({"loss": loss, **{f"loss/{name}": value for name, value in losses.items()}}, self)
        return loss


def _check_boxes(i, bbox, label, n_fg_class):
    """Check the boxes and labels of image i."""
    if bbox.ndim != 2 or bbox.shape[1] != 4:
        raise InvalidArgument("TrainChain", f"bboxes[{i}]", "(R, 4)", bbox, got=f"shape {bbox.shape}")
    if label.shape != (len(bbox),):
        rule = f"({len(bbox)},) as there are boxes"
        raise InvalidArgument("TrainChain", f"labels[{i}]", rule, label, got=f"shape {label.shape}")
    with np.errstate(invalid="ignore"):
        good = np.isfinite(bbox).all(axis=1) & (bbox[:, 2:] > bbox[:, :2]).all(axis=1)
    if not good.all():
        j = int(np.flatnonzero(~good)[0])
        sides = [float(side) for side in bbox[j]]
        raise ValueError(f"TrainChain: bboxes[{i}][{j}] must have a height and width > 0, got {sides}")
    good = (label >= 0) & (label < n_fg_class)
    if not good.all():
        j = int(np.flatnonzero(~good)[0])
        raise InvalidArgument("TrainChain", f"labels[{i}][{j}]", f"in 0..{n_fg_class - 1}", label[j], got=str(label[j]))
