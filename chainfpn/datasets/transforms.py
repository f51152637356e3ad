"""Random changes of images that take their boxes, masks and keypoints along.

A transform is a callable from example to example: ``(img, bbox, label, ...)``, where what follows has an entry per box,
too. Of that, masks are bool, (R, H, W), and keypoints are float, (R, K, 2), yx in pixels; anything else of three
dimensions is refused. What has two, (R, K), belongs to the keypoints, such as which are visible. Keypoints that a crop
leaves outside keep their places there, where no loss counts them. The example that was given stays as it is. Everything
random is drawn from NumPy's global generator, whose state a training saves and restores.
"""

import numpy as np
from chainercv.transforms import crop_bbox, flip_bbox, flip_point, resize_bbox, resize_point, translate_point

from chainfpn.functions import resize_bilinear
from chainfpn.links import Preprocess

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
        """Transform an example.

        Args:
            example (tuple): As the first transform takes it.

        Returns:
            tuple: What the last one makes of it.
        """
        for transform in self.transforms:
            example = transform(example)
        return example


class RandomFlip:
    """Mirror left and right.

    Args:
        probability (float): How often.
        mirrored (sequence of int or None): For each keypoint the one that it is in a mirror, such as the right eye for
            the left one and the nose for itself. Only the data set can tell; examples with keypoints need it.
    """

    def __init__(self, probability=0.5, *, mirrored=None):
        self.probability = probability
        self.mirrored = None if mirrored is None else list(mirrored)

    def __call__(self, example):
        """Transform an example.

        Args:
            example (tuple): ``img`` (3, H, W), ``bbox`` (R, 4), and what else it has per box.

        Returns:
            tuple: The same, flipped or as it was.

        Raises:
            ValueError: if an entry of three dimensions is neither masks nor keypoints, or ``mirrored`` is not for as
                many keypoints.
        """
        if np.random.rand() >= self.probability:
            return example
        img, bbox, *rest = example
        size = img.shape[1:]
        rest = _moved(
            rest, size, lambda mask: np.ascontiguousarray(mask[:, :, ::-1]), lambda point: self._flip(point, size)
        )
        if self.mirrored is not None:
            rest = [value[:, self.mirrored] if value.ndim == 2 else value for value in rest]
        return np.ascontiguousarray(img[:, :, ::-1]), flip_bbox(bbox, size, x_flip=True), *rest

    def _flip(self, point, size):
        n = point.shape[1]
        if sorted(self.mirrored or ()) != list(range(n)):
            raise ValueError(f"RandomFlip: mirrored must have each of the {n} keypoints once, got {self.mirrored}")
        return flip_point(point, size, x_flip=True)[:, self.mirrored]


class RandomScale:
    """Resize so that the shorter side has one of several lengths.

    chainfpn's detectors resize what they are given once more; for them pass the sizes to
    :class:`~chainfpn.links.Preprocess` instead, which draws one for each image.

    Args:
        sizes (sequence of int): Lengths of the shorter side in pixels; each is as likely as the others.
        max_size (int): Limit of the longer side in pixels.

    Raises:
        ValueError: if there is no size, or not every one is in 1..max_size.
    """

    def __init__(self, sizes, max_size=1333):
        self._preparations = [Preprocess(size, max_size) for size in sizes]
        if not self._preparations:
            raise ValueError(f"RandomScale: sizes must have at least one entry, got {sizes!r}")

    def __call__(self, example):
        """Transform an example.

        Args:
            example (tuple): ``img`` (3, H, W), ``bbox`` (R, 4), and what else it has per box.

        Returns:
            tuple: The same in another size, without boxes that are less than a pixel high or wide then.

        Raises:
            ValueError: if an entry of three dimensions is neither masks nor keypoints.
        """
        img, bbox, *rest = example
        old = img.shape[1:]
        new = self._preparations[np.random.randint(len(self._preparations))].resized(old)
        y, x = (((np.arange(n) + 0.5) * o / n).astype(int) for n, o in zip(new, old, strict=True))  # nearest pixels
        rest = _moved(rest, old, lambda mask: mask[:, y[:, None], x], lambda point: resize_point(point, old, new))
        bbox = resize_bbox(bbox, old, new)
        kept = _no_sliver(bbox)
        return resize_bilinear(img[None], new).array[0], bbox[kept], *(value[kept] for value in rest)


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
        """Transform an example.

        Args:
            example (tuple): ``img`` (3, H, W), ``bbox`` (R, 4), and what else it has per box.

        Returns:
            tuple: The same of a part of the image, or as it was.

        Raises:
            ValueError: if an entry of three dimensions is neither masks nor keypoints.
        """
        if np.random.rand() >= self.probability:
            return example
        img, bbox, *rest = example
        part = self._part(bbox, img.shape[1:])
        if part is None:
            return example
        (ys, xs), kept, bbox = part
        rest = _moved(
            [value[kept] for value in rest],
            img.shape[1:],
            lambda mask: mask[:, ys, xs],
            lambda point: translate_point(point, -ys.start, -xs.start),
        )
        return np.ascontiguousarray(img[:, ys, xs]), bbox, *rest

    def _part(self, bbox, size):
        """Draw a rectangle: its slices, and the indices and the boxes of what it shows; None after some vain tries."""
        for _ in range(self.n_tries):
            ys, xs = (self._interval(side) for side in size)
            cropped, kept = crop_bbox(bbox, ys, xs, allow_outside_center=False, return_param=True)
            large = _no_sliver(cropped)
            if large.any() or not len(bbox):
                return (ys, xs), kept["index"][large], cropped[large]
        return None

    def _interval(self, side):
        """Draw what of a side remains."""
        length = max(1, round(side * np.random.uniform(self.min_side, 1)))
        start = np.random.randint(side - length + 1)
        return slice(start, start + length)


def _moved(rest, size, move_mask, move_point):
    """Apply one function to the masks and one to the keypoints among what an example has per box."""
    moved = []
    for value in rest:
        if value.ndim == 3 and value.dtype == bool and value.shape[1:] == size:
            value = move_mask(value)
        elif value.ndim == 3 and value.dtype.kind == "f" and value.shape[2] == 2:
            value = move_point(value)
        elif value.ndim == 3:
            masks, got = f"masks, bool (R, {size[0]}, {size[1]})", f"{value.dtype} {value.shape}"
            raise ValueError(f"transforms: a 3-d entry must be {masks}, or keypoints, float (R, K, 2), got {got}")
        moved.append(value)
    return moved


def _no_sliver(bbox):
    """Tell which boxes are not too thin: bool, (R,)."""
    return (bbox[:, 2:] - bbox[:, :2] >= _MIN_SIDE).all(axis=1)
