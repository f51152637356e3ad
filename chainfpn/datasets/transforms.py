"""Random changes of images that take their boxes and masks along.

A transform is a callable from example to example: ``(img, bbox, label, ...)``, where what follows has an entry per box,
too; an entry of three dimensions is the masks. The example that was given stays as it is. Everything random is drawn
from NumPy's global generator, whose state a training saves and restores.
"""

import numpy as np
from chainercv.transforms import crop_bbox, flip_bbox, resize_bbox

from chainfpn.functions import resize_bilinear
from chainfpn.links import Preparation

#: A box with a side shorter than this many pixels is not worth learning, and is dropped.
_MIN_SIDE = 1


class Compose:
    """Apply transforms one after the other.

    Args:
        *transforms (callable): Each from example to example.
    """

    def __init__(self, *transforms):
        self.transforms = transforms

    def __call__(self, example):
        """Transform an example."""
        for transform in self.transforms:
            example = transform(example)
        return example


class RandomFlip:
    """Mirror left and right.

    Args:
        probability (float): How often.
    """

    def __init__(self, probability=0.5):
        self.probability = probability

    def __call__(self, example):
        """Transform an example."""
        if np.random.rand() >= self.probability:
            return example
        img, bbox, *rest = example
        rest = [np.ascontiguousarray(value[:, :, ::-1]) if value.ndim == 3 else value for value in rest]
        return np.ascontiguousarray(img[:, :, ::-1]), flip_bbox(bbox, img.shape[1:], x_flip=True), *rest


class RandomScale:
    """Resize so that the shorter side has one of several lengths.

    chainfpn's detectors resize what they are given once more; for them pass the sizes to
    :class:`~chainfpn.links.Preparation` instead, which draws one for each image.

    Args:
        sizes (sequence of int): Lengths of the shorter side in pixels; each is as likely as the others.
        max_size (int): Limit of the longer side in pixels.

    Raises:
        ValueError: if there is no size, or not every one is in 1..max_size.
    """

    def __init__(self, sizes, max_size=1333):
        self._preparations = [Preparation(size, max_size) for size in sizes]
        if not self._preparations:
            raise ValueError(f"RandomScale: sizes must have at least one entry, got {sizes!r}")

    def __call__(self, example):
        """Transform an example."""
        img, bbox, *rest = example
        old = img.shape[1:]
        new = self._preparations[np.random.randint(len(self._preparations))].resized(old)
        y, x = (((np.arange(n) + 0.5) * o / n).astype(int) for n, o in zip(new, old, strict=True))  # nearest pixels
        rest = [value[:, y[:, None], x] if value.ndim == 3 else value for value in rest]
        return _without_slivers((resize_bilinear(img[None], new).array[0], resize_bbox(bbox, old, new), *rest))


class RandomCrop:
    """Cut out a rectangle that shows at least one of the objects.

    Objects whose centre is outside go, the boxes of the others are clipped. After some vain tries the image stays
    whole.

    Args:
        min_side (float): Smallest height and width of the rectangle, relative to the image's.
        probability (float): How often.
        n_tries (int): How many rectangles are tried.

    Raises:
        ValueError: if not 0 < min_side <= 1.
    """

    def __init__(self, min_side=0.5, *, probability=0.5, n_tries=20):
        if not 0 < min_side <= 1:
            raise ValueError(f"RandomCrop: min_side must be > 0 and <= 1, got {min_side!r}")
        self.min_side = min_side
        self.probability = probability
        self.n_tries = n_tries

    def __call__(self, example):
        """Transform an example."""
        if np.random.rand() >= self.probability:
            return example
        img, bbox, *rest = example
        for _ in range(self.n_tries):
            ys, xs = (self._interval(side) for side in img.shape[1:])
            cropped, kept = crop_bbox(bbox, ys, xs, allow_outside_center=False, return_param=True)
            if len(bbox) and not len(cropped):
                continue
            rest = [value[kept["index"]] for value in rest]
            rest = [value[:, ys, xs] if value.ndim == 3 else value for value in rest]
            return _without_slivers((np.ascontiguousarray(img[:, ys, xs]), cropped, *rest))
        return example

    def _interval(self, side):
        """Draw what of a side remains."""
        length = max(1, round(side * np.random.uniform(self.min_side, 1)))
        start = np.random.randint(side - length + 1)
        return slice(start, start + length)


def _without_slivers(example):
    """Drop the boxes that are too thin."""
    img, bbox, *rest = example
    kept = (bbox[:, 2:] - bbox[:, :2] >= _MIN_SIDE).all(axis=1)
    return img, bbox[kept], *(value[kept] for value in rest)
