"""Which boxes to keep: inside the image, large enough, best first, and of overlapping ones the best."""

import functools
import itertools
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from chainer import backend
from chainer.backends import cuda

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import compute_dtype, kernels_for
from chainfpn.functions.kernels.waiting import Asking, alone, nonzero

#: ``clip`` for a coordinate; what is no number stays so.
_CLIP = "template <typename V> __device__ V clip(V x, V limit) { return x < V(0) ? V(0) : x > limit ? limit : x; }"


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
    if isinstance(bbox, np.ndarray):
        return np.clip(bbox, 0, np.asarray((*size, *size), dtype=bbox.dtype))
    clipped = "y = clip(bbox, i % 2 ? width : height);"
    return cuda.elementwise("T bbox, T height, T width", "T y", clipped, "clip_boxes", preamble=_CLIP)(bbox, *size)


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
    return large_enough(bbox, min_size).nonzero()[0]


def large_enough(bbox: Array, min_size: float) -> Array:
    """Return whether both sides of a box have at least ``min_size``: bool, (R,); see :func:`remove_small_boxes`."""
    return (bbox[:, 2:] - bbox[:, :2] >= min_size).all(axis=1)


def find_candidates(
    bbox: Array, score: Array, size: Size, *, score_thresh: float, min_size: float, inclusive: bool = False
) -> Asking[tuple[Array, ...]]:
    """Find the boxes that are good enough, and in the image large enough: see ``kernels.waiting``.

    Args:
        bbox (array): float, (R, 4) or (R, K, 4), yxyx.
        score (array): float, (R,) or (R, K).
        size ((int, int)): Height and width of the image that the boxes are clipped to.
        score_thresh (float): Scores above it are good enough.
        min_size (float): Smallest side in pixels.
        inclusive (bool): So are scores equal to it.

    Returns:
        tuple of array: int64, an index array for each axis of ``score``, row-major.
    """
    if isinstance(bbox, np.ndarray):
        found = np.nonzero(score >= score_thresh if inclusive else score > score_thresh)
        large = remove_small_boxes(clip(bbox[found], size), min_size)
        return tuple(index[large] for index in found)
    keep = cuda.elementwise(
        "raw T bbox, S score, T height, T width, S score_thresh, T min_size, bool inclusive",
        "bool keep",
        """
        const T rows = clip(bbox[4 * i + 2], height) - clip(bbox[4 * i], height);
        const T columns = clip(bbox[4 * i + 3], width) - clip(bbox[4 * i + 1], width);
        const bool passes = score > score_thresh || (inclusive && score == score_thresh);
        keep = passes && rows >= min_size && columns >= min_size;
        """,
        "find_candidates",
        preamble=_CLIP,
    )(bbox, score, *size, score_thresh, min_size, inclusive)
    found = yield from nonzero(keep)
    return (found,) if score.ndim == 1 else cuda.cupy.divmod(found, score.shape[1])


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


def top_k_of_each(score: Array, lengths: Sequence[int], k: int) -> tuple[Array, Array]:
    """Find the k highest scores of each level: on a GPU by one sort, and the host does not wait.

    Args:
        score (array): float, (N,), level by level.
        lengths (sequence of int): Numbers of each level.
        k (int): As for :func:`top_k`.

    Returns:
        tuple of array: int64, (R,), indices as :func:`top_k` sorts them, level by level; int32, (R,), their levels.
    """
    xp, levels = backend.get_array_module(score), itertools.pairwise(itertools.accumulate(lengths, initial=0))
    level = level_numbers(lengths, xp)
    if xp is np:
        best = np.concatenate([top_k(score[begin:end], k) + begin for begin, end in levels])
    else:
        order = _sort_groups(score, level)
        best = xp.concatenate([order[begin:end][:k] for begin, end in levels])
    return best, level[best]


def best_of_each(group: Array, score: Array, k: int) -> Asking[Array]:
    """Find the k highest scores of each group: see ``kernels.waiting``.

    Args:
        group (array): integers >= 0, (R',), ascending.
        score (array): float, (R',).
        k (int): How many of a group; all of them if there are fewer.

    Returns:
        array: int64, (R,), indices by group, then by descending score; among equals the earlier comes first.
    """
    xp = backend.get_array_module(score)
    order = _sort_groups(score, group)
    rank = xp.arange(len(group)) - xp.searchsorted(group, group)  # group[order] equals group
    return order[(yield from nonzero(rank < k))]


def level_numbers(lengths: Sequence[int], xp: Any) -> Array:
    """Return the number of each element's level.

    Args:
        lengths (sequence of int): Elements of each level.
        xp (module): numpy or cupy, on whose device the array is kept for the next call: it must not be changed.

    Returns:
        array: int32, (N,).
    """
    return _level_numbers(tuple(lengths), None if xp is np else xp.cuda.Device().id)


@functools.lru_cache(maxsize=16)
def _level_numbers(lengths, device):
    levels = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return levels if device is None else cuda.to_gpu(levels, device)


def _sort_groups(score, group):
    """Sort by group, then by falling score, equal scores in order."""
    if isinstance(score, np.ndarray) or score.dtype == np.float64:
        xp = backend.get_array_module(score)
        order = xp.argsort(-score, kind="stable")
        return order[xp.argsort(group[order], kind="stable")]
    keys = cuda.elementwise(
        "T score, S group",
        "uint64 key",
        """
        union { float value; unsigned int bits; } x = {(float)score + 0.f};  // no -0
        const unsigned int falling = x.bits >> 31 ? x.bits : ~x.bits & 0x7fffffffu;
        key = (unsigned long long)group << 32 | (x.value != x.value ? 0xffffffffu : falling);
        """,
        "group_and_score",
    )(score, group)
    return keys.argsort()


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
    return alone(suppress(bbox, score, None, thresh, limit=limit))


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
    return alone(suppress(bbox, score, label, thresh, inclusive=inclusive))


def suppress(
    bbox: Array, score: Array | None, label: Array | None, thresh: float, *, limit: int | None = None,
    inclusive: bool = False,
) -> Asking[Array]:  # fmt: skip
    """Run :func:`batched_nms`, or :func:`nms` without labels, where others wait as well."""
    _check_arguments("nms" if label is None else "batched_nms", bbox, score, label, thresh, limit)
    if inclusive:  # >= thresh is > the number before it, in the precision that IoUs have
        precise = compute_dtype(bbox.dtype).type
        thresh = float(np.nextafter(precise(thresh), precise(-np.inf)))
    limit = len(bbox) if limit is None else min(int(limit), len(bbox))
    if not len(bbox):
        return backend.get_array_module(bbox).zeros(0, np.int64)
    kept = kernels_for(bbox).suppress(bbox, score, label, thresh, limit)
    if not isinstance(kept, tuple):
        return kept
    (n,) = yield kept[1]
    return kept[0][:n]


def _check_arguments(name, bbox, score, label, thresh, limit):
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
