"""What a network finds in a batch, on its device, and how that comes to the CPU."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from chainer import backend

from chainfpn._typing import Array


class RawDetections(NamedTuple):
    """What the network finds in one image of a batch, on its device.

    Attributes:
        bbox (array): float, (R, 4), yxyx in pixels of the batch.
        class_id (array): int32, (R,), index of the network's output.
        score (array): float, (R,), descending.
        mask (array or None): float, (R, S, S), probability of each cell of a grid over the box, of a Mask R-CNN.
        point (array or None): float, (R, K, 2), yx, of a Keypoint R-CNN.
        point_score (array or None): float, (R, K), of a Keypoint R-CNN.
    """

    bbox: Array
    class_id: Array
    score: Array
    mask: Array | None = None
    point: Array | None = None
    point_score: Array | None = None


def split_by_image(array: Array, bboxes: Sequence[Array]) -> list[Array]:
    """Split what there is for all boxes of a batch.

    Args:
        array (array): (R', ...), the first image's first.
        bboxes (sequence of array): Per image, (R, ...).

    Returns:
        list of array: Per image, (R, ...).
    """
    ends = itertools.accumulate(map(len, bboxes))
    return backend.get_array_module(array).split(array, list(ends)[:-1])


def download(detections: Sequence[RawDetections]) -> list[RawDetections]:
    """Bring the detections of a batch from a GPU to the CPU in one copy.

    Args:
        detections (sequence of RawDetections): Per image.

    Returns:
        list of RawDetections: The same as NumPy arrays, but for masks, which are pasted where they are.
    """
    bboxes = [found.bbox for found in detections]
    xp = backend.get_array_module(*bboxes)
    masks = [found.mask for found in detections]
    detections = [found._replace(mask=None) for found in detections]
    dtype = np.result_type(np.float32, detections[0].bbox.dtype, detections[0].score.dtype)
    widths = [math.prod(array.shape[1:]) for array in detections[0] if array is not None]
    ends = list(itertools.accumulate(widths))
    packed = xp.empty((sum(map(len, bboxes)), ends[-1]), dtype)
    for rows, found in zip(split_by_image(packed, bboxes), detections, strict=True):
        arrays = [array for array in found if array is not None]
        for column, array in zip(xp.split(rows, ends[:-1], axis=1), arrays, strict=True):
            column[...] = array.reshape(column.shape)
    images = split_by_image(packed.get(), bboxes)
    unpacked = (_unpack(rows, ends, found) for rows, found in zip(images, detections, strict=True))
    return [found._replace(mask=mask) for found, mask in zip(unpacked, masks, strict=True)]


def _unpack(rows, ends, found):
    """Return the arrays that were put beside each other, with the dtypes and shapes they had."""
    columns = iter(np.split(rows, ends[:-1], axis=1))
    return RawDetections(
        *(None if array is None else next(columns).reshape(array.shape).astype(array.dtype) for array in found)
    )
