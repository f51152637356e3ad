"""From photographs to the batch a detector looks at."""

import math
from collections.abc import Sequence
from typing import Any

import chainer
import numpy as np
from chainer import backend
from chainer.backends import cuda

from chainfpn._imagenet import IMAGENET_MEAN, IMAGENET_STD
from chainfpn._option_rules import CheckedOptions, is_number
from chainfpn._typing import Array, Arrays, Size
from chainfpn.errors import InvalidArgument
from chainfpn.functions._arguments import check_image
from chainfpn.functions._resize import BILINEAR, OPTIONS, REALS, find_sources, resize_bilinear, source_scale
from chainfpn.functions.kernels import import_compiled


class Preprocess(CheckedOptions):
    """Normalize, resize and pad images to one batch.

    Pixels are scaled to 0..1, normalized, resized bilinearly (no antialias) so that the shorter side is ``min_size``
    unless the longer would pass ``max_size``, and padded with zeros at the bottom and right to a multiple of
    ``size_divisible``. Every argument is an attribute, too.

    Args:
        min_size (int or sequence of int): Wanted length of the shorter side in pixels. Of several, one is drawn for
            each image in training mode, with NumPy's global generator; in test mode it is the last.
        max_size (int): Limit of the longer side in pixels.
        mean (sequence of float): Per channel, for pixels in 0..1.
        std (sequence of float): Per channel, for pixels in 0..1.
        fixed_size ((int, int) or None): Height and width of every image, whatever its shape, instead.
        size_divisible (int): What the sides of the batch are a multiple of.
        channel_order (str): ``'RGB'`` or ``'BGR'``, that of the batch, of ``mean`` and of ``std``; images are RGB.

    Attributes:
        train_sizes (tuple of int): Lengths of the shorter side that one is drawn of in training mode; setting
            ``min_size`` sets them, too.

    Raises:
        InvalidArgument: if a value breaks its rule, here or when it is set later; if the sides are set although there
            is a fixed_size.
        AttributeError: if an attribute is set that there is not.

    Source:
        torchvision 0.14 ``GeneralizedRCNNTransform``.
    """

    #: Whether images on a GPU stay there; otherwise they go through the CPU.
    on_device = True

    def __init__(
        self, min_size: int | Sequence[int] = 800, max_size: int = 1333, *, mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD, fixed_size: Size | None = None, size_divisible: int = 32,
        channel_order: str = "RGB",
    ) -> None:  # fmt: skip
        self.max_size = max_size
        self.min_size = min_size
        self.mean, self.std = mean, std
        self.fixed_size, self.size_divisible = fixed_size, size_divisible
        self.channel_order = channel_order

    def __setattr__(self, name, value):
        if name in ("mean", "std", "fixed_size", "size_divisible", "channel_order"):
            return super().__setattr__(name, value)
        if name not in ("min_size", "max_size", "train_sizes"):
            raise AttributeError(f"{type(self).__name__}: there is no attribute {name}")
        self._check_sides(name, value)
        vars(self)[name] = value if np.isscalar(value) else tuple(value)
        if name == "min_size":
            self.train_sizes = _sides(value)
        return None

    @property
    def arguments(self) -> dict[str, Any]:
        """What builders call it, in JSON values."""
        sides = {} if self.fixed_size is not None else {"min_size": self.min_size, "max_size": self.max_size}
        values: dict[str, Any] = {**sides, "image_mean": self.mean, "image_std": self.std}
        values |= {"size_divisible": self.size_divisible, "channel_order": self.channel_order}
        return {key: np.asarray(value).tolist() for key, value in values.items()}

    def _check_sides(self, name, value):
        where, sides = type(self).__name__, vars(self) | {name: value}
        if sides.get("fixed_size") is not None:
            raise InvalidArgument(where, name, f"left alone with fixed_size {sides['fixed_size']}", value)
        limit = sides["max_size"]
        if name != "max_size":
            if not _sides(value) or not all(is_number(side) and 0 < side <= limit for side in _sides(value)):
                raise InvalidArgument(where, name, "> 0 and <= max_size", value, got=f"{value} and {limit}")
        elif not is_number(limit) or limit < max(_sides(sides.get("min_size", 1)) + sides.get("train_sizes", ())):
            raise InvalidArgument(where, name, ">= min_size and train_sizes", value)

    def __call__(self, imgs: Arrays, dtype: type = np.float32) -> tuple[Array, list[Size]]:
        """Make the batch.

        Args:
            imgs (sequence of array): float32 or uint8, (3, H, W), RGB, 0..255, NumPy or CuPy.
            dtype (dtype): What to compute in and return: float32 or float64.

        Returns:
            tuple: The batch, dtype (B, 3, H', W'), on the device of the images if ``on_device``, and the list of
            (height, width) of each image in it.

        Raises:
            InvalidType: if an image is no array.
            ValueError: if there is no image, or one that is not (3, H, W) with at least one pixel.
        """
        if len(imgs) == 0:
            raise ValueError("prepare: imgs must have at least one image, got none")
        for i, img in enumerate(imgs):
            check_image("prepare", img, f"imgs[{i}]")
        xp = backend.get_array_module(*imgs)
        if self.channel_order == "BGR":
            imgs = [backend.get_array_module(img).ascontiguousarray(img[::-1]) for img in imgs]
        compiled = import_compiled("numba_preprocess") if xp is np else None
        if self.on_device and (xp is not np or compiled):
            sizes = [self.resized_size(img.shape[1:]) for img in imgs]
            x = xp.empty((len(imgs), 3, *self._padded_size(sizes)), dtype)
            for img, size, out in zip(imgs, sizes, x, strict=True):
                if compiled is None:
                    self._prepare_on_gpu(xp.asarray(img), size, out)
                else:
                    self._prepare_compiled(compiled.prepare, cuda.to_cpu(img), size, out)
            return x, sizes
        resized, returned = zip(*(self._prepare(cuda.to_cpu(img), dtype) for img in imgs), strict=True)
        x = np.zeros((len(imgs), 3, *self._padded_size([img.shape[1:] for img in resized])), dtype=dtype)
        for i, img in enumerate(resized):
            x[i, :, : img.shape[1], : img.shape[2]] = img
        return x, list(returned)

    def _padded_size(self, sizes):
        """Return the height and width of a batch."""
        return tuple(
            math.ceil(max(side) / self.size_divisible) * self.size_divisible for side in zip(*sizes, strict=True)
        )

    def _prepare(self, img, dtype):
        """Normalize and resize one image; return it with its height and width."""
        mean, std = (np.array(values, dtype)[:, None, None] for values in (self.mean, self.std))
        img = (img.astype(dtype) / dtype(255) - mean) / std
        resized = resize_bilinear(img[None], self.resized_size(img.shape[1:])).array[0]  # (3, H', W')
        return resized, resized.shape[1:]

    def _prepare_compiled(self, prepare, img, size, out):
        """Write what ``_prepare`` returns, and zeros beyond it, to (3, H', W'): one pass over the image."""
        kind = out.dtype
        axes = [find_sources(*sizes, False, kind) for sizes in zip(size, img.shape[1:], strict=True)]
        pixels = img if img.dtype == np.uint8 else img.astype(kind, copy=False)
        prepare(pixels, np.array(self.mean, kind), np.array(self.std, kind), *axes, out)

    def _prepare_on_gpu(self, img, size, out):
        """Write what ``_prepare`` returns, and zeros beyond it, to (3, H', W'): a thread per pixel."""
        scales = [float(source_scale(*sizes, False, out.dtype)) for sizes in zip(size, img.shape[1:], strict=True)]
        cuda.elementwise(
            "raw S img, int32 height, int32 width, int32 rows, int32 columns, float64 scale_y, float64 scale_x, "
            "float64 mean_0, float64 mean_1, float64 mean_2, float64 std_0, float64 std_1, float64 std_2, int32 stride",
            "raw T out",
            """
            const Real mean[] = {(Real)mean_0, (Real)mean_1, (Real)mean_2};
            const Real deviation[] = {(Real)std_0, (Real)std_1, (Real)std_2};
            const int y = i / stride, x = i % stride;
            const bool is_padding = y >= rows || x >= columns;
            const Source row = find_source(y, height, scale_y, false);
            const Source column = find_source(x, width, scale_x, false);
            for (int c = 0; c < 3; ++c) {
                Real value[2] = {0, 0};
                for (int k = 0; k < 2 && !is_padding; ++k) {
                    const ptrdiff_t start = ((ptrdiff_t)c * height + (k ? row.high : row.low)) * width;
                    const Real low = (img[start + column.low] / (Real)255 - mean[c]) / deviation[c];
                    const Real high = (img[start + column.high] / (Real)255 - mean[c]) / deviation[c];
                    value[k] = interpolate(low, high, column.upper);
                }
                out[c * _ind.size() + i] = interpolate(value[0], value[1], row.upper);
            }
            """,
            "preprocess",
            preamble=BILINEAR % REALS[out.dtype],
            options=OPTIONS,
        )(img, *img.shape[1:], *size, *scales, *map(float, (*self.mean, *self.std)), out.shape[2], out,
          size=out[0].size)  # fmt: skip

    def resized_size(self, size: Size) -> Size:
        """Return the size an image is resized to: ``fixed_size``, if that is set.

        Args:
            size ((int, int)): Height and width.

        Returns:
            (int, int): Height and width.
        """
        if self.fixed_size is not None:
            height, width = self.fixed_size
            return height, width
        return self._rounded(self._scaled(size))

    def _scaled(self, size):
        """Return the height and width times the scale by the limits of both sides, not rounded.

        As torch divides by a tensor, the scale is a float32 product with a reciprocal, and the sides are rounded down:
        333 pixels times the scale 240 / 333 are 240, but 321 times 240 / 321 are 239.
        """
        min_size = self._draw_min_size()
        one, shorter, longer = np.float32(1), np.float32(min(size)), np.float32(max(size))
        scale = float(min(one / shorter * np.float32(min_size), one / longer * np.float32(self.max_size)))
        return tuple(side * scale for side in size)

    def _rounded(self, size):
        """Round a height and a width down."""
        return tuple(max(1, math.floor(side)) for side in size)

    def _draw_min_size(self):
        """Return the length of the shorter side of the next image."""
        sizes = self.train_sizes if chainer.config.train else _sides(self.min_size)[-1:]
        return sizes[np.random.randint(len(sizes)) if len(sizes) > 1 else 0]


def _sides(value):
    """Return one length or several as a tuple."""
    return (value,) if np.isscalar(value) else tuple(value)
