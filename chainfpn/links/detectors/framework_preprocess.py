"""From photographs to the batch that the detectors of ChainerCV, detectron2 and mmdetection look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from chainercv import transforms
from PIL import Image

from chainfpn._typing import Array, Size
from chainfpn.links.detectors.preprocess import Preprocess

#: What ChainerCV subtracts from RGB in 0..255; it divides by nothing.
CHAINERCV_MEAN = (123.15163084, 115.90288257, 103.0626238)

#: Weights of OpenCV's resizing are counted in 2048ths.
_BITS = 11


class ChainerCVPreprocess(Preprocess):
    """Resize images, subtract the mean of each channel, and pad them to one batch.

    The resizing is ChainerCV's own: OpenCV's where that is installed, which does not filter when it makes an image
    smaller; Pillow's, which does, where it is not, unless ``chainer.config.cv_resize_backend`` names one of them. The
    heights and widths returned are the image's times the scale, not rounded to pixels: ChainerCV scales boxes by them.

    Args:
        min_size (int or sequence of int): See :class:`Preprocess`.
        max_size (int): See :class:`Preprocess`.

    Source:
        ChainerCV 0.13 ``FasterRCNN.prepare`` and ``scale_img`` of its FPN, and the mean of its ResNets.
    """

    on_device = False

    def __init__(self, min_size: int | Sequence[int] = 800, max_size: int = 1333) -> None:
        super().__init__(min_size, max_size, mean=CHAINERCV_MEAN, std=(1.0, 1.0, 1.0))

    @property
    def arguments(self) -> dict[str, Any]:
        """What builders call it, in JSON values."""
        return {key: value for key, value in super().arguments.items() if key in ("min_size", "max_size")}

    def _prepare(self, img, dtype):
        size = self._scaled(img.shape[1:])
        resized = transforms.resize(img.astype(np.float32), self._rounded(size))  # (3, H', W')
        return resized.astype(dtype) - np.array(self.mean, dtype)[:, None, None], size

    def _scaled(self, size):
        """Return the height and width times the scale, which is a Python float."""
        scale = self._draw_min_size() / min(size)
        if scale * max(size) > self.max_size:
            scale = self.max_size / max(size)
        return tuple(side * scale for side in size)


class ResizedSize(tuple):
    """Height and width of an image in a batch, and as ``photograph`` those it has outside."""

    photograph: Size

    def __new__(cls, size: Size, photograph: Size) -> "ResizedSize":
        """Make the pair."""
        made = super().__new__(cls, size)
        made.photograph = photograph
        return made


class MMDetectionPreprocess(Preprocess):
    """Resize images as whole numbers, normalize and pad them: what mmdetection does.

    Pixels are rounded to uint8, resized by :func:`resize_fixed_point` (OpenCV's bilinear), normalized by ``mean`` and
    ``std``, which are for pixels in 0..255 here and must be given, and padded with zeros. The rest is
    :class:`Preprocess`'s.

    Source:
        mmdetection 3.3 ``Resize`` and ``DetDataPreprocessor``, mmcv 2.1 ``rescale_size``.
    """

    on_device = False

    def _rounded(self, size):
        """Round a height and a width to the nearest pixels."""
        return tuple(max(1, int(side + 0.5)) for side in size)

    def _scaled(self, size):
        scale = min(self.max_size / max(size), self._draw_min_size() / min(size))
        return tuple(side * scale for side in size)

    def _prepare(self, img, dtype):
        pixels = img if img.dtype == np.uint8 else np.clip(np.rint(img), 0, 255).astype(np.uint8)
        resized = self._resize(pixels, self.resized_size(img.shape[1:]))  # (3, H', W')
        mean, std = (np.array(values, np.float32).astype(dtype)[:, None, None] for values in (self.mean, self.std))
        return (resized.astype(dtype) - mean) / std, ResizedSize(resized.shape[1:], img.shape[1:])

    def _resize(self, img: Array, size: Size) -> Array:
        return resize_fixed_point(img, size)


class Detectron2Preprocess(MMDetectionPreprocess):
    """Resize images as whole numbers, normalize and pad them: what detectron2 does.

    The resizing is Pillow's bilinear, which filters where it makes an image smaller. The rest is
    :class:`MMDetectionPreprocess`'s.

    Source:
        detectron2 0.6 ``ResizeShortestEdge``, ``ResizeTransform`` and ``GeneralizedRCNN.preprocess_image``.
    """

    def _scaled(self, size):
        min_size = self._draw_min_size()
        shorter = min(size)
        scaled = tuple(float(min_size) if side == shorter else min_size / shorter * side for side in size)
        scale = self.max_size / max(scaled)
        return scaled if scale >= 1 else tuple(side * scale for side in scaled)

    def _resize(self, img, size):
        picture = Image.fromarray(np.ascontiguousarray(img.transpose(1, 2, 0)))
        return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def resize_fixed_point(img: Array, size: Size) -> Array:
    """Resize an image bilinearly, without antialias.

    Weights are rounded to 2048ths, and a pixel is rounded once.

    Args:
        img (array): uint8, (C, H, W).
        size ((int, int)): Height and width of the result.

    Returns:
        array: uint8, (C, H', W').

    Source:
        OpenCV 4.10 ``resize`` with ``INTER_LINEAR`` (the arithmetic), of which every pixel is equal.

    Example:
        >>> resize_fixed_point(np.array([[[0, 100]]], np.uint8), (1, 4))
        array([[[  0,  25,  75, 100]]], dtype=uint8)
    """
    if img.shape[1:] == tuple(size):
        return img
    top, bottom, weight_y = _taps(size[0], img.shape[1])
    left, right, weight_x = _taps(size[1], img.shape[2])
    weight_x = np.where(left == right, [[1 << _BITS], [0]], weight_x).astype(np.int32)  # but not so for rows
    wide = img.astype(np.int32)
    rows = (wide[..., left] * weight_x[0] + wide[..., right] * weight_x[1]) >> 4  # (C, H, W')
    upper, lower = rows[:, top], rows[:, bottom]  # (C, H', W')
    upper *= weight_y[0][:, None]
    lower *= weight_y[1][:, None]
    return (((upper >> 16) + (lower >> 16) + 2) >> 2).astype(np.uint8)


def _taps(n_out, n_in):
    """Return the two pixels that each pixel lies between, and their weights, int32, (2, n_out)."""
    position = ((np.arange(n_out) + 0.5) * (1 / (n_out / n_in)) - 0.5).astype(np.float32)
    first = np.floor(position).astype(np.int64)
    upper = position - first.astype(np.float32)
    weights = np.rint(np.stack((1 - upper, upper)) * np.float32(1 << _BITS)).astype(np.int32)
    return np.clip(first, 0, n_in - 1), np.clip(first + 1, 0, n_in - 1), weights
