"""Which boxes to keep: inside the image, large enough, best first, and of overlapping ones the best."""

import math
import numbers

import numpy as np
from chainer import backend

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import kernels_for


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


def nms(bbox: Array, thresh: float, score: Array | None = None, limit: int | None = None) -> Array:
    """Keep the best of each heap of overlapping boxes.

    Going from the best score down, a box is dropped if its IoU with a box already kept is greater than ``thresh``.
    Boxes of equal score keep their order. Areas are side times side; a pair of empty boxes has no IoU and is kept.

    Args:
        bbox (array): float16/32/64, (R, 4), yxyx, NumPy or CuPy.
        thresh (float): The largest IoU two kept boxes may have.
        score (array or None): (R,); None takes the boxes as sorted, best first.
        limit (int or None): Boxes to keep at most; None keeps all.

    Returns:
        array: int64, indices of the kept boxes, best first; on the device of ``bbox``.

    Raises:
        TypeError: if an array has the wrong dtype or device.
        ValueError: if a shape is wrong, ``thresh`` is no number, or ``limit`` is negative.

    Source:
        torchvision 0.14 ``nms``. ChainerCV's function of this name also drops at IoU equal to ``thresh``.

    Example:
        >>> bbox = np.array([[0, 0, 4, 4], [0, 1, 4, 5], [6, 6, 9, 9]], np.float32)
        >>> nms(bbox, 0.5, score=np.array([0.5, 0.9, 0.8], np.float32))
        array([1, 2])
    """
    return _suppress("nms", bbox, score, None, thresh, limit)


def batched_nms(bbox: Array, score: Array, label: Array, thresh: float, *, inclusive: bool = False) -> Array:
    """Keep the best of each heap of overlapping boxes of one label.

    As ``nms`` for each label by itself. torchvision moves each label's boxes apart instead, which
    gives the same up to the rounding of the moved coordinates.

    Args:
        bbox (array): float16/32/64, (R, 4), yxyx, NumPy or CuPy.
        score (array): (R,).
        label (array): integers, (R,): boxes of different labels never suppress each other.
        thresh (float): The largest IoU two kept boxes of a label may have.
        inclusive (bool): Also drop what overlaps by exactly ``thresh``, as ChainerCV does.

    Returns:
        array: int64, indices of the kept boxes of all labels, best first.

    Raises:
        TypeError: if an array has the wrong dtype or device.
        ValueError: if a shape is wrong, or ``thresh`` is no number.

    Source:
        torchvision 0.14 ``batched_nms``.

    Example:
        >>> bbox = np.array([[0, 0, 4, 4], [0, 1, 4, 5], [0, 0, 4, 4]], np.float32)
        >>> batched_nms(bbox, np.array([0.5, 0.9, 0.8], np.float32), np.array([3, 3, 7]), 0.5)
        array([1, 2])
    """
    return _suppress("batched_nms", bbox, score, label, thresh, None, inclusive=inclusive)


def _suppress(name, bbox, score, label, thresh, limit, *, inclusive=False):
    _check(name, bbox, score, label, thresh, limit)
    if inclusive:  # >= thresh is > the number before it, in the precision that IoUs have
        precise = np.promote_types(bbox.dtype, np.float32).type
        thresh = float(np.nextafter(precise(thresh), precise(-np.inf)))
    xp = backend.get_array_module(bbox)
    limit = len(bbox) if limit is None else min(int(limit), len(bbox))
    best_first = xp.arange(len(bbox)) if score is None else _descending(xp, score)
    if not len(bbox):
        return best_first
    if label is None:
        keep = kernels_for(bbox).nms(bbox[best_first], None, thresh, limit)
        return best_first[keep]
    by_label = xp.argsort(label[best_first], kind="stable")  # each label's boxes together, best first
    order = best_first[by_label]
    kept = kernels_for(bbox).nms(bbox[order], label[order].astype(np.int64), thresh, limit)
    keep = xp.empty(len(bbox), bool)
    keep[by_label] = kept
    return best_first[keep]


def _descending(xp, score):
    """Sort by falling score, equal scores in order."""
    rising = xp.argsort(score[::-1], kind="stable")
    return (len(score) - 1 - rising)[::-1]


def _check(name, bbox, score, label, thresh, limit):
    xp = backend.get_array_module(bbox)
    if bbox.ndim != 2 or bbox.shape[1] != 4:
        raise ValueError(f"{name}: bbox must be (R, 4), got shape {bbox.shape}")
    if bbox.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(f"{name}: bbox must be float16, float32 or float64, got {bbox.dtype}")
    for argument, value in (("score", score), ("label", label)):
        if value is None:
            continue
        if not isinstance(value, xp.ndarray):
            raise TypeError(f"{name}: {argument} must be a {xp.__name__} array as bbox is, got {type(value).__name__}")
        if value.shape != (len(bbox),):
            raise ValueError(f"{name}: {argument} must be ({len(bbox)},) as there are boxes, got shape {value.shape}")
    if not isinstance(thresh, numbers.Real) or math.isnan(thresh):
        raise ValueError(f"{name}: thresh must be a number, got {thresh!r}")
    if limit is not None and not (isinstance(limit, numbers.Integral) and limit >= 0):
        raise ValueError(f"{name}: limit must be None or an int >= 0, got {limit!r}")
    if label is not None and label.dtype.kind not in "iu":
        raise TypeError(f"{name}: label must be integers, got {label.dtype}")
