"""A synthetic data set, which needs no files."""

import math
import operator

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.datasets.detection_dataset import DetectionDataset, normalize_index
from chainfpn.errors import InvalidArgument
from chainfpn.functions import resize_bilinear

#: Corners of each kind of shape; a circle has none.
_N_CORNERS = {"circle": 0, "square": 4, "triangle": 3}
#: Radius of the circle that a shape is inscribed in, relative to the shorter side of the image.
_RADII = (0.1, 0.25)
_MAX_SHAPES = 4
#: Places that are tried for a shape before it is left out.
_N_TRIES = 30
#: Least distance of a shape's colour from the background's mean, in RGB.
_MIN_CONTRAST = 100


class ShapesDataset(DetectionDataset):
    """Circles, squares and triangles of random colours, sizes and turns on a random texture.

    An image has one to four shapes, which do not touch each other and lie inside. Example i depends on the seed and i
    alone.

    Keys: ``img``, ``bbox``, ``label``, ``mask``, ``area``.

    Args:
        n (int): Number of examples.
        size (int or (int, int)): Height and width of the images in pixels.
        seed (int): Another seed, other images.

    Raises:
        ValueError: if n < 1, a side is < 16, or seed < 0.

    Example:
        >>> img, bbox, label = ShapesDataset(10, 64)[3]
        >>> img.shape, bbox.shape == (len(label), 4)
        ((3, 64, 64), True)
    """

    def __init__(self, n: int, size: int | Size = 128, seed: int = 0) -> None:
        height, width = np.broadcast_to(size, 2).tolist()
        self._size = operator.index(height), operator.index(width)
        if n < 1:
            raise InvalidArgument("ShapesDataset", "n", ">= 1", n)
        if min(self._size) < 16:
            raise InvalidArgument("ShapesDataset", "size", ">= 16", size)
        if seed < 0:
            raise InvalidArgument("ShapesDataset", "seed", ">= 0", seed)
        self.seed = seed
        super().__init__([f"shapes-{seed}-{i}" for i in range(n)], _N_CORNERS)
        self.add_getter(("bbox", "label", "mask", "area"), self._get_annotations)
        self.keys = self.DEFAULT_KEYS

    def size(self, i: int) -> Size:
        """Return the size of the images: (int, int)."""
        normalize_index(self, i)
        return self._size

    def _frame(self, i: int) -> tuple[Size, int]:
        return self._size, 1

    def get_image(self, i: int) -> Array:
        """Return an image, drawn anew: float32, (3, H, W), RGB, 0..255."""
        _, mask, random = self._shapes(i)
        img = self._background(random)
        mean = img.mean(axis=(1, 2))
        for m in mask:
            colour = mean
            while np.linalg.norm(colour - mean) < _MIN_CONTRAST:
                colour = random.uniform(0, 255, 3)
            img[:, m] = colour[:, None] + random.normal(0, 6, (3, m.sum()))
        return np.clip(np.round(img), 0, 255).astype(np.float32)

    def _get_annotations(self, i: int) -> tuple[Array, Array, Array, Array]:
        """Return ``bbox``, ``label``, ``mask``, ``area``."""
        label, mask, _ = self._shapes(i)
        pixels = [np.argwhere(m) for m in mask]
        bbox = [np.concatenate((yx.min(axis=0), yx.max(axis=0) + 1)) for yx in pixels]
        return np.array(bbox, dtype=np.float32), label, mask, mask.sum(axis=(1, 2)).astype(np.float32)

    def _shapes(self, i: int) -> tuple[Array, Array, np.random.RandomState]:
        """Place the shapes of an example; return labels, masks, and the generator that goes on from there."""
        random = np.random.RandomState([self.seed, i])
        taken, labels, masks = np.zeros(self._size, dtype=bool), [], []
        for _ in range(random.randint(1, _MAX_SHAPES + 1)):
            label = random.randint(len(_N_CORNERS))
            for _ in range(_N_TRIES):
                mask, margin = self._shape(tuple(_N_CORNERS.values())[label], random)
                if not (taken & margin).any():
                    taken |= mask
                    labels.append(label)
                    masks.append(mask)
                    break
        return np.array(labels, dtype=np.int32), np.array(masks), random

    def _shape(self, n_corners: int, random: np.random.RandomState) -> tuple[Array, Array]:
        """Draw a shape: its mask and that with a margin of two pixels, (H, W) each."""
        radius = random.uniform(*_RADII) * min(self._size)
        cy, cx = (random.uniform(radius, side - radius) for side in self._size)
        turn = random.uniform(0, 2 * math.pi)
        y, x = np.mgrid[: self._size[0], : self._size[1]] + 0.5 - np.array([cy, cx])[:, None, None]
        if n_corners == 0:
            distance = np.hypot(y, x) - radius
        else:
            angles = turn + 2 * math.pi * np.arange(n_corners)[:, None, None] / n_corners
            distance = (np.cos(angles) * x + np.sin(angles) * y).max(axis=0) - radius * math.cos(math.pi / n_corners)
        return distance <= 0, distance <= 2

    def _background(self, random: np.random.RandomState) -> Array:
        """Draw a texture: large soft patches and fine noise."""
        patches = random.uniform(0, 255, 3)[:, None, None] + random.uniform(-60, 60, (3, 5, 5))
        soft = resize_bilinear(patches[None].astype(np.float32), self._size).array[0]
        return soft + random.normal(0, 12, (3, *self._size)).astype(np.float32)
