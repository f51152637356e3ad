"""Boxes with names and scores on a copy of an image."""

import colorsys
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from chainfpn._typing import Size
from chainfpn.links import DetectedObject

_Colour = tuple[int, ...]
_Corner = tuple[float, float]

#: Smallest letters that can be read, and their size relative to the square root of the image's area.
_MIN_FONT_SIZE = 13
_FONT_SCALE = 0.028
#: A picture smaller than its labels is enlarged, up to this many pixels on its longer side.
_MAX_ENLARGED = 16384
#: Steps of the hue that never come back to where they were.
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


class _Style(NamedTuple):
    font: Any
    line: int
    pad: int


class _Box(NamedTuple):
    bb: Sequence[float]
    text: str
    size: Size
    colour: _Colour


def draw(image: Image.Image, detections: Iterable[DetectedObject], names: Sequence[str]) -> Image.Image:
    """Draw the boxes of detections.

    Every class has its own colour. The letters grow with the image; an image smaller than its labels is enlarged by a
    whole factor, so that nothing is cut off.

    Args:
        image (PIL.Image.Image): In mode RGB; it stays as it is.
        detections (iterable of chainfpn.links.DetectedObject): Such as :class:`~chainfpn.links.Detections`.
        names (sequence of str): Name of each label.

    Returns:
        PIL.Image.Image: The picture.
    """
    style = _style(image.size)
    boxes = []
    for found in detections:
        text = f"{names[found.label]} {found.score:.2f}"
        left, top, right, bottom = style.font.getbbox(text)
        size = math.ceil(right - left) + 2 * style.pad, math.ceil(bottom - top) + 2 * style.pad
        boxes.append(_Box(found.bbox.tolist(), text, size, _colour(found.label)))
    factor = _factor(image.size, [box.size for box in boxes])
    picture = image.resize((image.width * factor, image.height * factor)) if factor > 1 else image.copy()
    canvas = ImageDraw.Draw(picture)
    outlines = [_outline(box.bb, factor, picture.size) for box in boxes]
    for box, outline in reversed(list(zip(boxes, outlines, strict=True))):  # the best ends up on top
        canvas.rectangle(outline, outline=box.colour, width=style.line)
    corners: list[_Corner] = []
    for box, outline in zip(boxes, outlines, strict=True):  # the best has the first choice
        corners.append(_place(box.size, outline, picture.size, list(zip(corners, boxes, strict=False))))
    for box, corner in reversed(list(zip(boxes, corners, strict=True))):
        _label(canvas, box, corner, style)
    return picture


def _style(size: Size) -> _Style:
    scale = math.sqrt(size[0] * size[1])
    font_size = max(_MIN_FONT_SIZE, round(_FONT_SCALE * scale))
    return _Style(ImageFont.load_default(font_size), max(2, round(font_size / 7)), max(2, round(font_size / 6)))


def _factor(image_size: Size, label_sizes: Sequence[Size]) -> int:
    """Return how many times an image has to be enlarged to hold the labels."""
    needed = max((math.ceil(a / b) for size in label_sizes for a, b in zip(size, image_size, strict=True)), default=1)
    return max(1, min(needed, _MAX_ENLARGED // max(image_size)))


def _outline(bb: Sequence[float], factor: int, size: Size) -> tuple[int, int, int, int]:
    """Return the corner pixels of a box, inside the picture: x_min, y_min, x_max, y_max."""
    y_min, x_min, y_max, x_max = (round(v * factor) for v in bb)
    x_min, y_min = min(max(x_min, 0), size[0] - 1), min(max(y_min, 0), size[1] - 1)
    return x_min, y_min, min(max(x_max - 1, x_min), size[0] - 1), min(max(y_max - 1, y_min), size[1] - 1)


def _place(size: Size, outline: tuple, picture_size: Size, others: Sequence[tuple[_Corner, _Box]]) -> _Corner:
    """Choose the corner of a label: above the box, inside at the top, below, or inside at the bottom.

    The first place that is inside the picture and free of the labels placed before is taken, or the first at all.
    """
    x = max(0, min(outline[0], picture_size[0] - size[0]))
    lowest = max(0, picture_size[1] - size[1])
    places = [outline[1] - size[1], outline[1], outline[3] + 1, outline[3] + 1 - size[1]]
    places = [(x, y) for y in places if 0 <= y <= lowest] or [(x, min(outline[1], lowest))]
    for place in places:
        if not any(_meet(place, size, corner, box.size) for corner, box in others):
            return place
    return places[0]


def _meet(corner: _Corner, size: Size, other_corner: _Corner, other_size: Size) -> bool:
    """Return whether two rectangles overlap."""
    return all(a < b + m and b < a + n for a, n, b, m in zip(corner, size, other_corner, other_size, strict=True))


def _label(canvas: ImageDraw.ImageDraw, box: _Box, corner: _Corner, style: _Style) -> None:
    x, y = corner
    canvas.rectangle((x, y, x + box.size[0] - 1, y + box.size[1] - 1), fill=box.colour)
    left, top, _, _ = style.font.getbbox(box.text)
    ink = "black" if _luminance(box.colour) > 0.45 else "white"
    canvas.text((x + style.pad - left, y + style.pad - top), box.text, font=style.font, fill=ink)


def _colour(label: int) -> _Colour:
    hue = (0.38 + int(label) * _GOLDEN_RATIO) % 1
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.9, 0.95))


def _luminance(colour: _Colour) -> float:
    return (0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]) / 255
