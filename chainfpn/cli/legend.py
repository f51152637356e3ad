"""A legend in a corner of a picture: what its colours mean, for boxes without a label."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from chainfpn._typing import Size
from chainfpn.cli.colours import colour_of
from chainfpn.cli.labels import Outline
from chainfpn.links import DetectedObject

_OPACITY = 0.85
#: Lines at most; the classes with fewer objects are left out.
_MAX_LINES = 12


def draw_legend(
    picture: Image.Image, found: Sequence[DetectedObject], names: Sequence[str], font: Any, outlines: Sequence[Outline]
) -> Outline:
    """List the classes with their numbers and scores, in the corner with the fewest boxes.

    Args:
        picture (PIL.Image.Image): RGB; drawn on. Where the legend is larger than half of it there is none.
        found (sequence of DetectedObject): What the picture shows.
        names (sequence of str): Name of each label.
        font (PIL.ImageFont): The letters.
        outlines (sequence of Outline): The boxes.

    Returns:
        Outline: Where it is; an empty one if there is none.
    """
    scores: dict[int, list[float]] = {}
    for one in found:
        scores.setdefault(one.label, []).append(one.score)
    most = sorted(scores, key=lambda label: (-len(scores[label]), label))[:_MAX_LINES]
    rows = [(label, names[label], str(len(scores[label])), _range(scores[label])) for label in most]
    widths = [max(font.getlength(row[column]) for row in rows) for column in (1, 2, 3)]
    line, gap = round(font.size * 1.35), font.size / 2
    size = round(line + sum(widths) + 4 * gap), line * len(rows) + round(gap)
    if size[0] * 2 > picture.width or size[1] * 2 > picture.height:
        return 0, 0, 0, 0
    left, top = _corner(size, picture.size, outlines)
    picture.paste((16, 16, 16), (left, top), Image.new("L", size, round(255 * _OPACITY)))
    canvas = ImageDraw.Draw(picture)
    for i, (label, *cells) in enumerate(rows):
        y = top + round(gap / 2) + i * line
        canvas.rectangle((left + gap, y + line * 0.2, left + line * 0.6 + gap, y + line * 0.8), fill=colour_of(label))
        x = left + gap + line
        for cell, width, flush_right in zip(cells, widths, (False, True, True), strict=True):
            start = x + width - font.getlength(cell) if flush_right else x
            canvas.text((start, y + line / 2), cell, font=font, fill="white", anchor="lm")
            x += width + gap
    return left, top, left + size[0], top + size[1]


def _range(scores: Sequence[float]) -> str:
    if math.isnan(scores[0]):
        return ""
    return f"{max(scores):.2f}" if len(scores) == 1 else f"{min(scores):.2f} - {max(scores):.2f}"


def _corner(size: Size, picture_size: Size, outlines: Sequence[Outline]) -> Size:
    """Return the corner of the picture in which the legend covers least."""
    boxes = np.array(outlines)
    right, bottom = (a - b for a, b in zip(picture_size, size, strict=True))

    def covered(corner):
        low = np.maximum(boxes[:, :2], corner)
        return np.maximum(np.minimum(boxes[:, 2:], np.add(corner, size)) - low, 0).prod(axis=1).sum()

    return min(((right, bottom), (0, bottom), (right, 0), (0, 0)), key=covered)
