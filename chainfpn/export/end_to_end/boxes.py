"""Boxes in a graph: decoding, clipping, suppression, the best of them. Shapes and words are those of chainfpn.boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainfpn.boxes.box_coder import MAX_LOG_SCALE, LinearBoxCoder
from chainfpn.export.graph import Tensor

#: The score of what must not be found, below every limit.
NEVER = -1e30


def decode(coder: Any, deltas: Tensor, reference: Tensor) -> Tensor:
    """Apply deltas to boxes.

    Args:
        coder (BoxCoder or LinearBoxCoder): How.
        deltas (Tensor): float32, (..., 4).
        reference (Tensor): float32, (..., 4), yxyx.

    Returns:
        Tensor: (..., 4), yxyx.
    """
    graph = deltas.graph
    top, left, bottom, right = reference.columns()
    height, width = bottom - top, right - left
    if isinstance(coder, LinearBoxCoder):
        y, x = (top + bottom) * 0.5, (left + right) * 0.5
        to_left, to_top, to_right, to_bottom = deltas.columns()
        sides = y - to_top * height, x - to_left * width, y + to_bottom * height, x + to_right * width
        return graph.concat(sides, axis=-1)
    dx, dy, dw, dh = (d / w if w != 1 else d for d, w in zip(deltas.columns(), coder.weights, strict=True))
    y, x = dy * height + (top + height * 0.5), dx * width + (left + width * 0.5)
    dw, dh = (graph.op("Min", d, MAX_LOG_SCALE) for d in (dw, dh))
    if coder.min_log_scale is not None:
        dw, dh = (graph.op("Max", d, coder.min_log_scale) for d in (dw, dh))
    half_height, half_width = graph.op("Exp", dh) * height * 0.5, graph.op("Exp", dw) * width * 0.5
    return graph.concat((y - half_height, x - half_width, y + half_height, x + half_width), axis=-1)


def clip(bbox: Tensor, size: Tensor) -> Tensor:
    """Move the corners of boxes, (..., 4), into an image of a size, int64 (2,)."""
    limit = bbox.graph.concat((size, size)).cast(np.float32)
    return bbox.graph.op("Min", bbox.graph.op("Max", bbox, 0.0), limit)


def are_large(bbox: Tensor, min_size: float) -> Tensor:
    """Return where both sides of boxes, (..., 4), have at least ``min_size``: bool, (..., 1)."""
    top, left, bottom, right = bbox.columns()
    return (bottom - top >= min_size) & (right - left >= min_size)


def top_k(score: Tensor, k: int | None) -> tuple[Tensor, Tensor]:
    """Return the k highest of the last axis, all if k is None or there are fewer, falling, and their indices."""
    graph, n = score.graph, score.shape(-1)
    count = n if k is None else graph.op("Min", n, [k])
    values, indices = graph.multi_op("TopK", 2, score, count, dtype=[score.dtype, np.int64])
    return values, indices


def suppress(
    bbox: Tensor, score: Tensor, thresh: float, score_thresh: float = NEVER / 2, *, inclusive: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Keep the best of each heap of overlapping boxes.

    Args:
        bbox (Tensor): (G, R, 4), yxyx: groups that are suppressed by themselves.
        score (Tensor): (G, C, R): classes of a group that are suppressed by themselves.
        thresh (float): The largest IoU two kept boxes may have.
        score_thresh (float): Only boxes with a score above it are kept.
        inclusive (bool): Also drop what overlaps by exactly ``thresh``, and keep what scores exactly ``score_thresh``.

    Returns:
        tuple of Tensor: Group, class and index of each kept box, int64, (n,), a group after the other.
    """
    graph = bbox.graph
    if inclusive:
        thresh, score_thresh = (
            float(np.nextafter(np.float32(value), np.float32(-np.inf))) for value in (thresh, score_thresh)
        )
    limits = [np.array([value], np.float32) for value in (thresh, score_thresh)]
    kept = graph.op("NonMaxSuppression", bbox, score, bbox.shape(1, 2), *limits, dtype=np.int64)  # (n, 3)
    group, class_id, row = (kept.gather(i, axis=1) for i in range(3))
    return group, class_id, row


def rows_of(tensor: Tensor, *indices: Tensor) -> Tensor:
    """Take tensor[i, j, ...] of indices, each int64 (n,): (n, ...)."""
    graph = tensor.graph
    return graph.op("GatherND", tensor, graph.concat([index.unsqueeze(1) for index in indices], axis=1))


def best(score: Tensor, limit: int | None, *others: Tensor) -> list[Tensor]:
    """Sort by falling score, (R,), and keep at most ``limit``: the scores, and rows of others alike."""
    score, order = top_k(score, limit)
    return [score, *(other.gather(order) for other in others)]


def make_anchors(generator: Any, map_sizes: Sequence[Tensor], padded: Tensor) -> list[Tensor]:
    """Make the anchors of every level; see :meth:`chainfpn.boxes.AnchorGenerator.__call__`.

    Args:
        generator (AnchorGenerator): Whose base boxes do not depend on the stride.
        map_sizes (sequence of Tensor): Per level, int64, (2,).
        padded (Tensor): Height and width of the batch, int64, (2,).

    Returns:
        list of Tensor: Per level, float32, (N_l, 4).
    """
    graph, offset = padded.graph, generator.offset
    at_origin = generator([(1, 1)] * generator.n_levels, (1, 1), np)  # a stride of 1, the first place
    whole = offset == 0
    anchors = []
    for size, base in zip(map_sizes, at_origin, strict=True):
        stride = (padded / size).cast(np.float32) if whole else padded.cast(np.float32) / size.cast(np.float32)
        at = [(graph.range(size.gather(axis), np.float32) + offset) * stride.gather(axis) for axis in (0, 1)]
        y, x = at[0].reshape(-1, 1, 1, 1), at[1].reshape(1, -1, 1, 1)
        rows, columns = np.array([1, 0, 1, 0], np.float32), np.array([0, 1, 0, 1], np.float32)
        boxes = y * rows + x * columns + (base - np.float32(offset))  # (H_l, W_l, A, 4)
        anchors.append(boxes.reshape(-1, 4))
    return anchors


def scale_boxes(bbox: Tensor, to: Tensor, of: Tensor) -> Tensor:
    """Scale boxes, (R, 4), from an image of one size to another, int64 (2,) both."""
    factors = to.cast(np.float32) / of.cast(np.float32)
    return bbox * bbox.graph.concat((factors, factors))
