"""Bilinear resizing of uint8 images in whole numbers, as OpenCV does it."""

import numpy as np

from chainfpn._typing import Array, Size

#: Weights are counted in 2048ths.
_BITS = 11


def resize_fixed_point(img: Array, size: Size) -> Array:
    """Resize an image bilinearly, without antialias.

    Weights are rounded to 2048ths, and a pixel is rounded once; an image of exactly half the height and width has the
    rounded means of four pixels.

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
    if img.shape[1:] == (2 * size[0], 2 * size[1]):
        sums = img.reshape(len(img), size[0], 2, size[1], 2).sum(axis=(2, 4), dtype=np.uint16)
        return ((sums + 2) >> 2).astype(np.uint8)
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
