"""From photographs to the batch a detector looks at."""

import math

import chainer
import numpy as np
from chainer.backends import cuda

from chainfpn.functions import resize_bilinear

#: Statistics of ImageNet, for pixels in 0..1: what every torchvision trunk was trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Preprocess:
    """Normalize, resize and pad images to one batch.

    Pixels are scaled to 0..1, normalized, resized bilinearly (no antialias) so that the shorter side is ``min_size``
    unless the longer would pass ``max_size``, and padded with zeros at the bottom and right to a multiple of 32.

    Args:
        min_size (int or sequence of int): Wanted length of the shorter side in pixels. Of several, one is drawn for
            each image in training mode, with NumPy's global generator; in test mode it is the last.
        max_size (int): Limit of the longer side in pixels.
        mean (sequence of float): Per channel, for pixels in 0..1.
        std (sequence of float): Per channel, for pixels in 0..1.
        fixed_size ((int, int) or None): Height and width of every image, whatever its shape, instead.
        size_divisible (int): What the sides of the batch are a multiple of.

    Attributes:
        train_sizes (tuple of int): What one is drawn of in training mode; min_size unless it is set to other lengths.

    Raises:
        ValueError: if there is no min_size, or not every one is in 1..max_size.

    Source:
        torchvision 0.14 ``GeneralizedRCNNTransform``.
    """

    def __init__(
        self,
        min_size=800,
        max_size=1333,
        *,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        fixed_size=None,
        size_divisible=32,
    ):
        min_sizes = (min_size,) if np.isscalar(min_size) else tuple(min_size)
        if not min_sizes or not 0 < min(min_sizes) <= max(min_sizes) <= max_size:
            raise ValueError(f"Preprocess: min_size must be > 0 and <= max_size, got {min_size} and {max_size}")
        self.min_sizes = self._train_sizes = min_sizes
        self.max_size = max_size
        self.fixed_size = fixed_size
        self.size_divisible = size_divisible
        self.mean = np.array(mean)[:, None, None]
        self.std = np.array(std)[:, None, None]

    @property
    def train_sizes(self):
        """Lengths of the shorter side that one is drawn of for each image in training mode: tuple of int."""
        return self._train_sizes

    @train_sizes.setter
    def train_sizes(self, sizes):
        sizes = tuple(sizes)
        if not sizes or not 0 < min(sizes) <= max(sizes) <= self.max_size:
            raise ValueError(f"Preprocess: train_sizes must be > 0 and <= max_size, got {sizes} and {self.max_size}")
        self._train_sizes = sizes

    def __call__(self, imgs, dtype=np.float32):
        """Make the batch.

        Args:
            imgs (sequence of array): float32, (3, H, W), RGB, 0..255, NumPy or CuPy.
            dtype (dtype): What to compute in and return: float32 or float64.

        Returns:
            tuple: The batch, NumPy, dtype (B, 3, H', W'), and the list of (height, width) of each image in it.

        Raises:
            ValueError: if there is no image, or one that is not (3, H, W) with at least one pixel.
        """
        if len(imgs) == 0:
            raise ValueError("prepare: imgs must have at least one image, got none")
        for i, img in enumerate(imgs):
            if img.ndim != 3 or img.shape[0] != 3 or 0 in img.shape:
                raise ValueError(f"prepare: imgs[{i}] must be (3, H, W), not empty, got shape {img.shape}")
        resized, sizes = zip(*(self._prepare(cuda.to_cpu(img), dtype) for img in imgs), strict=True)
        height, width = (
            math.ceil(max(side) / self.size_divisible) * self.size_divisible
            for side in zip(*(img.shape[1:] for img in resized), strict=True)
        )
        x = np.zeros((len(imgs), 3, height, width), dtype=dtype)
        for i, img in enumerate(resized):
            x[i, :, : img.shape[1], : img.shape[2]] = img
        return x, list(sizes)

    def _prepare(self, img, dtype):
        """Normalize and resize one image, and tell its height and width then."""
        img = (img.astype(dtype) / dtype(255) - self.mean.astype(dtype)) / self.std.astype(dtype)
        resized = resize_bilinear(img[None], self.resized(img.shape[1:])).array[0]  # (3, H', W')
        return resized, resized.shape[1:]

    def resized(self, size):
        """Tell the size an image is resized to.

        The scale is a float32 product with a reciprocal, as torch divides by a tensor, and the sides are rounded down;
        240 / 333 * 333 is 240 so, and 240 / 321 * 321 is 239.

        Args:
            size ((int, int)): Height and width.

        Returns:
            (int, int): Height and width.
        """
        if self.fixed_size is not None:
            return self.fixed_size
        min_size = self._draw_min_size()
        one, shorter, longer = np.float32(1), np.float32(min(size)), np.float32(max(size))
        scale = float(min(one / shorter * np.float32(min_size), one / longer * np.float32(self.max_size)))
        return tuple(max(1, math.floor(side * scale)) for side in size)

    def _draw_min_size(self):
        """Tell the length of the shorter side that the next image gets."""
        sizes = self.train_sizes if chainer.config.train else self.min_sizes[-1:]
        return sizes[np.random.randint(len(sizes)) if len(sizes) > 1 else 0]
