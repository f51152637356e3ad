"""What a detector finds: in a batch, on its device; and in an image, by objects and as JSON."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from chainer import backend

from chainfpn._typing import Array


class DetectedObject(NamedTuple):
    """One object of :class:`Detections`, with the same fields for this object alone.

    Attributes:
        bbox (array): float32, (4,), yxyx in pixels of the image.
        label (int): Its label, from 0.
        score (float): Its score.
        mask (array or None): bool, (H, W).
        point (array or None): float32, (K, 2), yx in pixels of the image.
        point_score (array or None): float32, (K,).
    """

    bbox: Array
    label: int
    score: float
    mask: Array | None
    point: Array | None
    point_score: Array | None


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """What a detector finds in one image, by descending score; iterating gives a :class:`DetectedObject` each.

    Attributes:
        bbox (array): float32, (R, 4), yxyx in pixels of the image.
        label (array): int32, (R,), in [0, n_fg_class).
        score (array): float32, (R,).
        mask (array or None): bool, (R, H, W), where the detector has masks.
        point (array or None): float32, (R, K, 2), yx in pixels of the image, where the detector has keypoints.
        point_score (array or None): float32, (R, K), the logit at each point; under detectron2's rules its
            probability.

    Example:
        >>> found = Detections(np.array([[0.0, 1.0, 4.0, 6.0]]), np.array([2]), np.array([0.5]))
        >>> [(found_object.label, found_object.score) for found_object in found]
        [(2, 0.5)]
        >>> found.to_json(["cat", "dog", "cup"])
        [{'bbox': [0.0, 1.0, 4.0, 6.0], 'label': 2, 'name': 'cup', 'score': 0.5}]
    """

    bbox: Array
    label: Array
    score: Array
    mask: Array | None = None
    point: Array | None = None
    point_score: Array | None = None

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.bbox)

    def __iter__(self) -> Iterator[DetectedObject]:
        """Iterate over the objects."""
        for i in range(len(self)):
            extras = (None if values is None else values[i] for values in (self.mask, self.point, self.point_score))
            yield DetectedObject(self.bbox[i], int(self.label[i]), float(self.score[i]), *extras)

    def to_json(self, label_names: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return JSON values.

        Args:
            label_names (sequence of str or None): Name of each label.

        Returns:
            list of dict: For each object its ``bbox`` (y_min, x_min, y_max, x_max), ``label``, ``name`` where there are
            names, ``score``, and where the detector has them ``mask`` (COCO's uncompressed run lengths), ``point`` (yx
            of each keypoint) and ``point_score``.
        """
        records = []
        for found in self:
            record: dict[str, Any] = {"bbox": [float(side) for side in found.bbox], "label": found.label}
            if label_names is not None:
                record["name"] = label_names[found.label]
            record["score"] = found.score
            if found.mask is not None:
                record["mask"] = _run_lengths(found.mask)
            if found.point is not None:
                record |= {name: getattr(found, name).tolist() for name in ("point", "point_score")}
            records.append(record)
        return records


def _run_lengths(mask: Array) -> dict[str, list[int]]:
    """Encode a mask (H, W) as COCO does: lengths of runs down the columns, the first one of zeros."""
    pixels = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(pixels, prepend=False, append=not pixels[-1]))
    return {"size": list(mask.shape), "counts": np.diff(edges, prepend=0).tolist()}


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
