"""Random changes of images that take their boxes, masks and keypoints along.

A transform is a callable from example to example: ``(img, bbox, label, ...)``, where what follows has an entry per box,
too. Of that, masks are bool, (R, H, W), and keypoints are float, (R, K, 2), yx in pixels; anything else of three
dimensions is refused. What has two, (R, K), belongs to the keypoints, such as which are visible. Keypoints that a crop
leaves outside keep their places there, where no loss counts them. The example that was given stays as it is. Everything
random is drawn from NumPy's global generator, whose state a training saves and restores.
"""

from collections.abc import Callable, Sequence

import numpy as np
from chainercv.transforms import crop_bbox, flip_bbox, flip_point, resize_bbox, resize_point, translate_point

from chainfpn._attributes import Checked, Fraction
from chainfpn._typing import Array, Size
from chainfpn.errors import InvalidArgument
from chainfpn.functions import resize_bilinear
from chainfpn.links import Preprocess

#: A box with a side shorter than this many pixels is not worth learning, and is dropped.
_MIN_SIDE = 1


class RandomTransform:
    """Base of the transforms that change an example so often, and else leave it as it is.

    Subclasses set ``probability``, how often, and define ``_transform``.
    """

    probability = Fraction()

    def __call__(self, example: tuple) -> tuple:
        """Transform an example.

        Args:
            example (tuple): ``img`` (3, H, W), ``bbox`` (R, 4), and what else it has per box.

        Returns:
            tuple: The same, transformed or as it was.

        Raises:
            ValueError: if an entry of three dimensions is neither masks nor keypoints.
        """
        return example if np.random.rand() >= self.probability else self._transform(example)

    def _transform(self, example: tuple) -> tuple:
        raise NotImplementedError


class Compose:
    """Apply transforms one after the other.

    Args:
        *transforms (callable): Each from example to example.
    """

    def __init__(self, *transforms: Callable[[tuple], tuple]) -> None:
        self.transforms = transforms

    def __call__(self, example: tuple) -> tuple:
        """Transform an example.

        Args:
            example (tuple): As the first transform takes it.

        Returns:
            tuple: What the last one makes of it.
        """
        for transform in self.transforms:
            example = transform(example)
        return example


class RandomFlip(RandomTransform):
    """Mirror left and right.

    Args:
        probability (float): How often.
        mirrored (sequence of int or None): For each keypoint the one that it is in a mirror, such as the right eye for
            the left one and the nose for itself. Only the data set can tell; examples with keypoints need it.

    Raises:
        ValueError: when called, if ``mirrored`` is not for as many keypoints.
    """

    def __init__(self, probability: float = 0.5, *, mirrored: Sequence[int] | None = None) -> None:
        self.probability, self.mirrored = probability, mirrored

    def _transform(self, example: tuple) -> tuple:
        img, bbox, *rest = example
        size = img.shape[1:]
        rest = move(
            rest, size, lambda mask: np.ascontiguousarray(mask[:, :, ::-1]), lambda point: self._flip(point, size)
        )
        if self.mirrored is not None:
            rest = [value[:, list(self.mirrored)] if value.ndim == 2 else value for value in rest]
        return np.ascontiguousarray(img[:, :, ::-1]), flip_bbox(bbox, size, x_flip=True), *rest

    def _flip(self, point: Array, size: Size) -> Array:
        n, mirrored = point.shape[1], list(self.mirrored or ())
        if sorted(mirrored) != list(range(n)):
            raise InvalidArgument("RandomFlip", "mirrored", f"have each of the {n} keypoints once", self.mirrored)
        return flip_point(point, size, x_flip=True)[:, mirrored]


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

    sizes = Checked("have at least one entry", lambda value: len(value) > 0)

    def __init__(self, sizes: Sequence[int], max_size: int = 1333) -> None:
        self.sizes, self.max_size = sizes, max_size
        for size in sizes:
            Preprocess(size, max_size)  # which raises if it cannot be

    def __call__(self, example: tuple) -> tuple:
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
        new = Preprocess(self.sizes[np.random.randint(len(self.sizes))], self.max_size).resized_size(old)
        y, x = (((np.arange(n) + 0.5) * o / n).astype(int) for n, o in zip(new, old, strict=True))  # nearest pixels
        rest = move(rest, old, lambda mask: mask[:, y[:, None], x], lambda point: resize_point(point, old, new))
        bbox = resize_bbox(bbox, old, new)
        kept = large_enough(bbox)
        return resize_bilinear(img[None], new).array[0], bbox[kept], *(value[kept] for value in rest)


class RandomCrop(RandomTransform):
    """Crop the image to a rectangle with the centre of at least one box.

    Boxes whose centre is outside are dropped, the others are clipped. After ``n_tries`` rectangles without a box the
    image stays whole.

    Args:
        min_side (float): Smallest height and width of the rectangle, relative to the image's.
        probability (float): How often.
        n_tries (int): How many rectangles are tried.

    Raises:
        ValueError: if not 0 < min_side <= 1, or probability is not in 0..1.
    """

    min_side = Checked("> 0 and <= 1", lambda value: 0 < value <= 1)

    def __init__(self, min_side: float = 0.5, *, probability: float = 0.5, n_tries: int = 20) -> None:
        self.min_side, self.probability, self.n_tries = min_side, probability, n_tries

    def _transform(self, example: tuple) -> tuple:
        img, bbox, *rest = example
        part = self._part(bbox, img.shape[1:])
        if part is None:
            return example
        (ys, xs), kept, bbox = part
        rest = move(
            [value[kept] for value in rest],
            img.shape[1:],
            lambda mask: mask[:, ys, xs],
            lambda point: translate_point(point, -ys.start, -xs.start),
        )
        return np.ascontiguousarray(img[:, ys, xs]), bbox, *rest

    def _part(self, bbox: Array, size: Size) -> tuple[tuple[slice, slice], Array, Array] | None:
        """Draw a rectangle; return its slices, and the indices and the boxes of what is in it, or None."""
        for _ in range(self.n_tries):
            ys, xs = (self._interval(side) for side in size)
            cropped, kept = crop_bbox(bbox, ys, xs, allow_outside_center=False, return_param=True)
            large = large_enough(cropped)
            if large.any() or not len(bbox):
                return (ys, xs), kept["index"][large], cropped[large]
        return None

    def _interval(self, side: int) -> slice:
        """Draw what of a side remains."""
        length = max(1, round(side * np.random.uniform(self.min_side, 1)))
        start = np.random.randint(side - length + 1)
        return slice(start, start + length)


def move(rest: list, size: Size, move_mask: Callable[[Array], Array], move_point: Callable[[Array], Array]) -> list:
    """Apply one function to the masks and one to the keypoints among what an example has per box."""
    moved = []
    for value in rest:
        if value.ndim == 3 and value.dtype == bool and value.shape[1:] == size:
            value = move_mask(value)
        elif value.ndim == 3 and value.dtype.kind == "f" and value.shape[2] == 2:
            value = move_point(value)
        elif value.ndim == 3:
            rule = f"masks, bool (R, {size[0]}, {size[1]}), or keypoints, float (R, K, 2)"
            raise InvalidArgument("transforms", "a 3-d entry", rule, value, got=f"{value.dtype} {value.shape}")
        moved.append(value)
    return moved


def large_enough(bbox: Array) -> Array:
    """Return which boxes are high and wide enough: bool, (R,)."""
    return (bbox[:, 2:] - bbox[:, :2] >= _MIN_SIDE).all(axis=1)
