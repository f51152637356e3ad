"""A synthetic data set: no files, no end of examples."""

import math
import operator

import numpy as np

from chainfpn.datasets.detection_dataset import DetectionDataset, from_start
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

    One to four shapes, which do not touch each other, are wholly inside. Example i depends on the seed and i alone.

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

    def __init__(self, n, size=128, seed=0):
        self._size = tuple(map(operator.index, size)) if np.ndim(size) else (operator.index(size),) * 2
        if n < 1:
            raise ValueError(f"ShapesDataset: n must be >= 1, got {n!r}")
        if len(self._size) != 2 or min(self._size) < 16:
            raise ValueError(f"ShapesDataset: size must be >= 16, got {size!r}")
        if seed < 0:
            raise ValueError(f"ShapesDataset: seed must be >= 0, got {seed!r}")
        self.seed = seed
        super().__init__([f"shapes-{seed}-{i}" for i in range(n)], _N_CORNERS)
        self.add_getter(("bbox", "label", "mask", "area"), self.get_objects)
        self.keys = self.DEFAULT_KEYS

    def size(self, i):
        """Tell the size of the images: (int, int)."""
        from_start(self, i)
        return self._size

    def get_image(self, i):
        """Draw an image.

        Args:
            i (int): Index of the example.

        Returns:
            array: float32, (3, H, W), RGB, 0..255.
        """
        _, mask, random = self._shapes(i)
        img = self._background(random)
        mean = img.mean(axis=(1, 2))
        for m in mask:
            colour = mean
            while np.linalg.norm(colour - mean) < _MIN_CONTRAST:
                colour = random.uniform(0, 255, 3)
            img[:, m] = colour[:, None] + random.normal(0, 6, (3, m.sum()))
        return np.clip(np.round(img), 0, 255).astype(np.float32)

    def get_objects(self, i):
        """Say what is in an image.

        Args:
            i (int): Index of the example.

        Returns:
            tuple: ``bbox``, ``label``, ``mask``, ``area``.
        """
        label, mask, _ = self._shapes(i)
        bbox = []
        for m in mask:
            y, x = np.nonzero(m)
            bbox.append((y.min(), x.min(), y.max() + 1, x.max() + 1))
        return np.array(bbox, dtype=np.float32), label, mask, mask.sum(axis=(1, 2)).astype(np.float32)

    def _shapes(self, i):
        """Place the shapes of an example: labels, masks, and the generator that goes on from there."""
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

    def _shape(self, n_corners, random):
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

    def _background(self, random):
        """Draw a texture: large soft patches and fine noise."""
        patches = random.uniform(0, 255, 3)[:, None, None] + random.uniform(-60, 60, (3, 5, 5))
        soft = resize_bilinear(patches[None].astype(np.float32), self._size).array[0]
        return soft + random.normal(0, 12, (3, *self._size)).astype(np.float32)
