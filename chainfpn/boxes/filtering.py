"""Which boxes to keep: inside the image, large enough, best first."""

import numpy as np
from chainer import backend

from chainfpn._typing import Array, Size


def clip(bbox: Array, size: Size) -> Array:
    """Move the corners of boxes into an image.

    Args:
        bbox (array): float, (..., 4), yxyx.
        size ((int, int)): Height and width of the image.

    Returns:
        array: dtype and shape of bbox.

    Source:
        torchvision 0.14 ``clip_boxes_to_image``.
    """
    xp = backend.get_array_module(bbox)
    return xp.clip(bbox, 0, xp.asarray((*size, *size), dtype=bbox.dtype))


def remove_small_boxes(bbox: Array, min_size: float) -> Array:
    """Find the boxes whose sides both have at least ``min_size``.

    Args:
        bbox (array): float, (R, 4), yxyx.
        min_size (float): Pixels.

    Returns:
        array: int64, indices of the boxes to keep, ascending.

    Source:
        torchvision 0.14 ``remove_small_boxes``.
    """
    return (bbox[:, 2:] - bbox[:, :2] >= min_size).all(axis=1).nonzero()[0]


def top_k(score: Array, k: int) -> Array:
    """Find the k highest scores.

    Args:
        score (array): float, (R,).
        k (int): How many; all of them if there are fewer.

    Returns:
        array: int, (min(k, R),), indices by descending score; among equals the earlier comes first.
    """
    if backend.get_array_module(score) is not np:
        return (-score).argsort()[:k]  # CuPy's only sort is stable
    candidates = np.arange(len(score))
    if 0 < k < len(score):
        candidates = np.flatnonzero(score >= np.partition(score, len(score) - k)[len(score) - k])
    return candidates[np.argsort(-score[candidates], kind="stable")[:k]]
