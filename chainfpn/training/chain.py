"""A detector with its losses: what an optimizer is set up with and an updater calls."""

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

from chainfpn.links.detectors.detector import scale


class TrainChain(chainer.Chain):
    """Base of the chains that train a detector.

    Called with images and what is to be found in them, it returns the sum of the detector's losses and reports each,
    as ``loss`` and ``loss/...``. A subclass has a ``losses`` that computes them; :func:`train_chain` chooses the one
    for a detector.

    Args:
        model (chainfpn.links.Detector): The detector.
    """

    def __init__(self, model):
        super().__init__()
        with self.init_scope():
            self.model = model

    def forward(self, imgs, bboxes, labels):
        """Compute the loss.

        All arrays may be NumPy or CuPy, wherever the model is.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, of any sizes.
            bboxes (sequence of array): Per image, float32, (R, 4), yxyx in its pixels; R may be 0.
            labels (sequence of array): Per image, int32, (R,), in [0, n_fg_class).

        Returns:
            Variable: float32 (float64 where Chainer is configured so), ().

        Raises:
            ValueError: if a box has no area or something is not of its shape or range.
            FloatingPointError: if a loss is not finite.
        """
        return self.total(self.losses(*self.batch(imgs, bboxes, labels)))

    def losses(self, x, sizes, bboxes, outputs):
        """Compute the losses of a prepared batch.

        Args:
            x (array): (B, 3, H, W).
            sizes (sequence of (int, int)): Height and width of each image within the batch.
            bboxes (list of array): Per image, float32 or float64, (R, 4), yxyx in pixels of the batch.
            outputs (list of array): Per image, int32, (R,), index of the network's output.

        Returns:
            dict: Name to Variable, ().
        """
        raise NotImplementedError(f"{type(self).__name__}: losses must be defined by the class")

    def batch(self, imgs, bboxes, labels):
        """Prepare images, and bring boxes and labels into what the network sees.

        Args:
            imgs (sequence of array): As for :meth:`forward`.
            bboxes (sequence of array): As for :meth:`forward`.
            labels (sequence of array): As for :meth:`forward`.

        Returns:
            tuple: The arguments of :meth:`losses`.

        Raises:
            ValueError: if a box has no area or something is not of its shape or range.
        """
        bboxes, labels = [cuda.to_cpu(bbox) for bbox in bboxes], [cuda.to_cpu(label) for label in labels]
        self.check_length("bboxes", bboxes, imgs)
        self.check_length("labels", labels, imgs)
        x, sizes = self.model.prepare(imgs)
        dtype = np.promote_types(x.dtype, np.float32)
        class_ids = np.array(self.model.class_ids, dtype=np.int32)
        scaled, outputs = [], []
        for i, (img, size, bbox, label) in enumerate(zip(imgs, sizes, bboxes, labels, strict=True)):
            _check_truth(i, bbox, label, self.model.n_fg_class)
            factor = scale(to=size, of=img.shape[1:])
            scaled.append(self.xp.asarray(bbox.astype(dtype, copy=False) * factor.astype(dtype)))
            outputs.append(self.xp.asarray(class_ids[label.astype(np.int64, copy=False)]))
        return x, sizes, scaled, outputs

    def total(self, losses):
        """Sum the losses and report them.

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
                f"{type(self).__name__}: every loss must be finite, but {', '.join(wrong) or f'their sum is {loss}'};"
                " the learning rate may be too high"
            )
        chainer.report({"loss": loss.array, **{f"loss/{name}": value.array for name, value in losses.items()}}, self)
        return loss

    @staticmethod
    def check_length(name, values, imgs):
        """Check that there is one entry per image.

        Args:
            name (str): What the entries are called.
            values (sized): The entries.
            imgs (sized): The images.

        Raises:
            ValueError: if there is not.
        """
        if len(values) != len(imgs):
            raise ValueError(f"TrainChain: {name} must have {len(imgs)} entries, one per image, got {len(values)}")

    @staticmethod
    def check_shape(name, array, shape):
        """Check the shape of an array.

        Args:
            name (str): What the array is called.
            array (array): The array.
            shape (tuple of int): What its shape must be.

        Raises:
            ValueError: if it is another.
        """
        if array.shape != shape:
            raise ValueError(f"TrainChain: {name} must be {shape}, got shape {array.shape}")


def _check_truth(i, bbox, label, n_fg_class):
    """Check the boxes and labels of one image."""
    if bbox.ndim != 2 or bbox.shape[1] != 4:
        raise ValueError(f"TrainChain: bboxes[{i}] must be (R, 4), got shape {bbox.shape}")
    if label.shape != (len(bbox),):
        raise ValueError(f"TrainChain: labels[{i}] must be ({len(bbox)},) as there are boxes, got shape {label.shape}")
    with np.errstate(invalid="ignore"):
        good = np.isfinite(bbox).all(axis=1) & (bbox[:, 2:] > bbox[:, :2]).all(axis=1)
    if not good.all():
        j = int(np.flatnonzero(~good)[0])
        raise ValueError(
            f"TrainChain: bboxes[{i}][{j}] must have a height and width > 0, got {[float(side) for side in bbox[j]]}"
        )
    good = (label >= 0) & (label < n_fg_class)
    if not good.all():
        j = int(np.flatnonzero(~good)[0])
        raise ValueError(f"TrainChain: labels[{i}][{j}] must be in 0..{n_fg_class - 1}, got {label[j]}")
