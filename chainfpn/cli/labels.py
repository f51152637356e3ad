"""Where the labels of boxes go: beside what they name, and not onto each other."""

from collections.abc import Sequence

import numpy as np

from chainfpn._typing import Array, Size

#: x_min, y_min, x_max, y_max in pixels of a picture, last pixels included.
Outline = tuple[int, int, int, int]

#: What a place costs: each step down the list of places, all of it being inside its own box, and on another box.
_STEP, _INSIDE, _ON_OTHER = 0.04, 0.6, 0.5
#: A label is left out where its best place costs more: less is allowed once labels cover so much of the picture.
_MAX_COST, _MAX_COST_IN_CROWD, _CROWDED = 1.2, 0.2, 0.1


def place_labels(
    outlines: Sequence[Outline], sizes: Sequence[Size], picture_size: Size
) -> list[tuple[int, int] | None]:
    """Choose the upper left corner of each label; the first has the first choice.

    Above the box, below it, beside it, or within it: whichever covers least of this box and of the others. Labels never
    cover each other, and one without a good place is left out, but not the first.

    Args:
        outlines (sequence of Outline): The boxes, best first.
        sizes (sequence of (int, int)): Width and height of each label.
        picture_size ((int, int)): Width and height of the picture.

    Returns:
        list of (int, int) or None: x and y of each.
    """
    boxes = np.array(outlines, dtype=float).reshape(-1, 4)
    boxes[:, 2:] += 1
    placed = np.zeros((0, 4))
    corners: list[tuple[int, int] | None] = []
    for i, (outline, size) in enumerate(zip(outlines, sizes, strict=True)):
        places = _places(outline, size, picture_size)
        labels = np.array([(x, y, x + size[0], y + size[1]) for x, y in places], dtype=float)
        area = size[0] * size[1]
        others = np.minimum(_shared(labels, np.delete(boxes, i, axis=0)) / area, 1).sum(axis=1)
        inside = _shared(labels, boxes[i : i + 1]).sum(axis=1) / area
        cost = _STEP * np.arange(len(places)) + _INSIDE * inside + _ON_OTHER * others
        taken = _shared(labels, placed).sum(axis=1) > 0
        best = int(np.argmin(np.where(taken, np.inf, cost)))
        crowded = _area(placed) > _CROWDED * picture_size[0] * picture_size[1]
        if taken[best] or (i and cost[best] > (_MAX_COST_IN_CROWD if crowded else _MAX_COST)):
            corners.append(None)
            continue
        corners.append(places[best])
        placed = np.append(placed, labels[best : best + 1], axis=0)
    return corners


def _places(outline: Outline, size: Size, picture_size: Size) -> list[tuple[int, int]]:
    """List the places inside the picture that a label may have, best first."""
    x_min, y_min, x_max, y_max = outline
    width, height = size
    right, bottom = max(0, picture_size[0] - width), max(0, picture_size[1] - height)
    left, end = max(0, min(x_min, right)), max(0, min(x_max + 1 - width, right))
    above, below, beside, before = y_min - height, y_max + 1, x_max + 1, x_min - width
    outside = [(left, above), (end, above), (left, below), (end, below)]
    outside += [(beside, y_min), (before, y_min), (beside, below - height), (before, below - height)]
    inside = [(left, below - height), (end, below - height), (left, y_min), (end, y_min)]
    places = [(x, y) for x, y in (*outside, *inside) if 0 <= x <= right and 0 <= y <= bottom]
    return places or [(left, max(0, min(y_min, bottom)))]


def _area(boxes: Array) -> float:
    """Return the area of all boxes of (R, 4), xyxy."""
    return float((boxes[:, 2:] - boxes[:, :2]).prod(axis=1).sum())


def _shared(a: Array, b: Array) -> Array:
    """Return the area that every box of (A, 4) shares with every one of (B, 4), xyxy: (A, B)."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    return np.maximum(sides, 0).prod(axis=2)
