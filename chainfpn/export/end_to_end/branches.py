"""Masks and keypoints of detections in a graph. A box that is nothing goes before them, so that there always is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainfpn.export.dense import Part, add_part
from chainfpn.export.end_to_end.boxes import rows_of
from chainfpn.export.end_to_end.two_stage import pool
from chainfpn.export.graph import Graph, Tensor
from chainfpn.export.trace import ExportError
from chainfpn.links.detectors.paste_masks import paste_masks
from chainfpn.links.detectors.roi_heads import BRANCH_OUTSIZE


def with_nothing(rows: Tensor) -> Tensor:
    """Put a row of zeros before others, (R, ...)."""
    sides = rows.graph.concat([[1], rows.shape(1)])
    zeros = rows.graph.op("Expand", rows.graph.constant(np.zeros((), rows.dtype)), sides)
    return rows.graph.concat([zeros, rows])


def without_nothing(rows: Tensor) -> Tensor:
    """Take the row away that :func:`with_nothing` put there."""
    return rows.slice(1, 2**31 - 1)


def branch(
    part: Part, names: Mapping[int, str], heads: Any, hs: Sequence[Tensor], bbox: Tensor, size: Tensor
) -> Tensor:
    """Predict masks, or heat maps of keypoints.

    Args:
        part (Part): The branch.
        names (mapping): id of an array to its name in the model.
        heads (RoIHeads): The numbers.
        hs (sequence of Tensor): The levels that boxes are pooled from.
        bbox (Tensor): (R, 4), yxyx in pixels of the batch.
        size (Tensor): Height and width of the image in the batch, int64, (2,).

    Returns:
        Tensor: Logits, (R, K, S, S).
    """
    pooled = pool(heads, hs, bbox, size, BRANCH_OUTSIZE)
    outputs, _ = add_part(bbox.graph, part, pooled, names)
    return outputs["logits"]


def _for_each(n: Tensor, function: Callable[[Graph, Tensor], list[tuple[Tensor, int]]]) -> list[Tensor]:
    """Run a function of a body and an index, int64 (), n times; stack the tensors of known ranks that it gives."""
    graph = n.graph
    body = Graph(graph)
    i = body.input("i", "int64", ())
    body.input("goes_on", "bool", ())
    results = function(body, i)
    body.output("goes_on_still", body.constant(np.array(True)), ())
    for k, (result, rank) in enumerate(results):
        body.output(f"result {k}", result, [f"result {k} side {axis}" for axis in range(rank)])
    dtypes = [result.dtype for result, _ in results]
    return graph.multi_op("Loop", len(results), n, None, dtype=dtypes, body=body.proto("body"))


def paste(detector: Any, mask: Tensor, bbox: Tensor, image_size: Tensor) -> Tensor:
    """Paste masks into the image; see :func:`chainfpn.links.detectors.paste_masks.paste_masks`.

    Args:
        detector (MaskRCNN): How masks are pasted.
        mask (Tensor): (R, S, S), probabilities.
        bbox (Tensor): (R, 4), yxyx in pixels of the image.
        image_size (Tensor): Its height and width, int64, (2,).

    Returns:
        Tensor: bool, (R, H, W).

    Raises:
        ExportError: if masks are pasted by other rules than torchvision's.
    """
    if detector.paste is not paste_masks:
        raise ExportError("masks must be pasted by torchvision's rules to be in the file")
    graph = bbox.graph
    padded = graph.op("Pad", mask, [0, 1, 1, 0, 1, 1], 0.0, mode="constant")  # (R, S + 2, S + 2)
    cells = padded.shape(1, 2)
    growth = cells.cast(np.float32) / (cells - np.int64(2)).cast(np.float32)
    low, high = bbox.slice(0, 2, axis=1), bbox.slice(2, 4, axis=1)  # (R, 2)
    half, centre = (high - low) * 0.5 * growth, (high + low) * 0.5
    first, last = (corner.cast(np.int64) for corner in (centre - half, centre + half))  # rounded towards zero
    n_pixels = graph.op("Max", last + np.int64(1) - first, np.int64(1))  # (R, 2)

    def one(body: Graph, i: Tensor) -> list[tuple[Tensor, int]]:
        grid, *sizes = body.own(padded, first, n_pixels, image_size, cells)
        rows, columns = (_interpolation(body, axis, i, *sizes) for axis in (0, 1))  # (H, S + 2), (W, S + 2)
        pixels = body.op("MatMul", body.op("MatMul", rows, grid.gather(i)), columns.transpose(1, 0))
        return [(pixels > 0.5, 2)]

    (pasted,) = _for_each(bbox.shape(0, 1).gather(0), one)
    return pasted


def _interpolation(body, axis, i, first, n_pixels, image_size, cells):
    """Make the matrix (side of the image, S + 2) that resizes a grid to a box and lays it into the image."""
    start, n = (tensor.gather(i).gather(axis) for tensor in (first, n_pixels))
    at = body.range(image_size.gather(axis)) - start  # pixel of the box
    inside = (at >= np.int64(0)) & body.op("Less", at, n, dtype=bool)
    source = (at.cast(np.float32) + 0.5) * (cells.cast(np.float32) / n.cast(np.float32)) - 0.5
    source = body.op("Max", source, 0.0)
    last = cells - np.int64(1)
    low = body.op("Min", source.cast(np.int64), last)
    high = body.op("Min", low + np.int64(1), last)
    upper = (source - low.cast(np.float32)).unsqueeze(1)
    grid = body.range(cells.gather(0)).unsqueeze(0)
    is_low, is_high = (at.unsqueeze(1).equals(grid).cast(np.float32) for at in (low, high))
    weights = is_low * body.op("Sub", 1.0, upper) + is_high * upper
    return weights * inside.cast(np.float32).unsqueeze(1)


def find_keypoints(heat: Tensor, bbox: Tensor) -> tuple[Tensor, Tensor]:
    """Find the peak of each heat map; see :func:`chainfpn.links.detectors.keypoint_head.heatmaps_to_keypoints`.

    Args:
        heat (Tensor): (R, K, S, S).
        bbox (Tensor): (R, 4), yxyx.

    Returns:
        tuple of Tensor: The points, (R, K, 2), yx, and their logits, (R, K).
    """
    graph = bbox.graph
    low, high = bbox.slice(0, 2, axis=1), bbox.slice(2, 4, axis=1)  # (R, 2)
    size = graph.op("Max", high - low, 1.0)
    whole = graph.op("Ceil", size)
    pixel, n_pixels = size / whole, whole.cast(np.int64)  # (R, 2)
    channels = heat.shape(1, 2)

    def one(body: Graph, i: Tensor) -> list[tuple[Tensor, int]]:
        maps, sides, corner, scale, n_keypoint = body.own(heat, n_pixels, low, pixel, channels)
        n = sides.gather(i)
        shape = body.concat([[1], n_keypoint, n])
        large = body.op(
            "Resize", maps.gather(i).unsqueeze(0), None, None, shape, mode="cubic", cubic_coeff_a=-0.75,
            coordinate_transformation_mode="half_pixel",
        )  # fmt: skip
        flat = large.reshape(body.concat([n_keypoint, [-1]]))  # (K, height * width)
        place = body.op("ArgMax", flat, dtype=np.int64, axis=1, keepdims=0)  # (K,)
        width = n.gather(1)
        y = place / width
        point = body.concat([y.unsqueeze(1), (place - y * width).unsqueeze(1)], axis=1).cast(np.float32)
        point = (point + 0.5) * scale.gather(i) + corner.gather(i)  # (K, 2)
        return [(point, 2), (body.op("ReduceMax", flat, axes=[1], keepdims=0), 1)]

    point, score = _for_each(bbox.shape(0, 1).gather(0), one)
    return point, score


def of_class(logits: Tensor, class_id: Tensor) -> Tensor:
    """Return the probabilities, (R, S, S), of the class of each row of logits, (R, K, S, S)."""
    rows = logits.graph.range(class_id.shape().gather(0))
    return logits.graph.op("Sigmoid", rows_of(logits, rows, class_id))
