"""What was found, on a copy of an image: boxes, labels, masks, keypoints, a legend."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from chainfpn._typing import Size
from chainfpn.cli.colours import Colour, colour_of, ink_on, shade
from chainfpn.cli.fonts import find_font
from chainfpn.cli.labels import Outline, place_labels
from chainfpn.cli.legend import draw_legend
from chainfpn.cli.overlays import MIN_POINT_LOGIT, paint_mask, paint_skeleton
from chainfpn.links import DetectedObject

#: Smallest letters that can be read, and their size relative to the square root of the image's area.
_MIN_FONT_SIZE = 13
_FONT_SCALE = 0.021
#: An image whose longer side has fewer pixels is enlarged to about twice that, so that its objects are larger than the
#: labels. So is one that is smaller than a label, up to the second number.
_MIN_SIDE, _MAX_ENLARGED = 160, 16384
#: More objects than these have smaller letters and thinner lines.
_CROWD = 40


class _Style(NamedTuple):
    font: Any
    line: int
    pad: int


def draw(
    image: Image.Image,
    detections: Iterable[DetectedObject],
    names: Sequence[str],
    *,
    min_point_score: float = MIN_POINT_LOGIT,
) -> Image.Image:
    """Draw detections.

    Every class has its own colour; where labels had to be left out, a legend has it. Letters grow with the image; a
    small image is enlarged by a whole factor. A score that is no number, as of ground truth, is not written.

    Args:
        image (PIL.Image.Image): In mode RGB; it stays as it is.
        detections (iterable of chainfpn.links.DetectedObject): Such as :class:`~chainfpn.links.Detections`.
        names (sequence of str): Name of each label.
        min_point_score (float): Score from which a keypoint is drawn.

    Returns:
        PIL.Image.Image: The picture.
    """
    found = list(detections)
    if not found:
        return image.copy()
    style, texts, sizes, factor = _layout(image.size, found, names)
    picture = image.resize((image.width * factor, image.height * factor)) if factor > 1 else image.copy()
    outlines = [_outline(one.bbox.tolist(), factor, picture.size) for one in found]
    _paint_extras(picture, found, factor, style, min_point_score)
    canvas = ImageDraw.Draw(picture)
    for one, outline in reversed(list(zip(found, outlines, strict=True))):  # the best ends up on top
        canvas.rectangle(outline, outline=colour_of(one.label), width=style.line)
    corners = place_labels(outlines, sizes, picture.size)
    legend = draw_legend(picture, found, names, style.font, outlines) if None in corners else (0, 0, 0, 0)
    for i, corner in enumerate(corners):
        if corner is not None and not _meet(corner, sizes[i], legend):
            _label(canvas, texts[i], corner, sizes[i], colour_of(found[i].label), style)
    return picture


def _layout(image_size: Size, found: Sequence[DetectedObject], names: Sequence[str]) -> tuple:
    """Return the style, the text and size of each label, and how many times the image has to be enlarged."""
    texts = [names[one.label] + ("" if math.isnan(one.score) else f" {one.score:.2f}") for one in found]
    factor = -(-2 * _MIN_SIDE // max(image_size)) if max(image_size) < _MIN_SIDE else 1
    style = _style((image_size[0] * factor, image_size[1] * factor), texts, crowded=len(found) > _CROWD)
    sizes = []
    for text in texts:
        left, top, right, bottom = style.font.getbbox(text)
        sizes.append((math.ceil(right - left) + 2 * style.pad, math.ceil(bottom - top) + 2 * style.pad))
    needed = max(math.ceil(a / b) for size in sizes for a, b in zip(size, image_size, strict=True))
    return style, texts, sizes, max(1, min(max(factor, needed), _MAX_ENLARGED // max(image_size)))


def _style(size: Size, texts: Sequence[str] = (), *, crowded: bool = False) -> _Style:
    font_size = max(_MIN_FONT_SIZE, round(_FONT_SCALE * math.sqrt(size[0] * size[1]) * (0.7 if crowded else 1)))
    return _Style(find_font(texts, font_size), max(2, round(font_size / 7)), max(2, round(font_size / 6)))


def _outline(bb: Sequence[float], factor: int, size: Size) -> Outline:
    """Return the corner pixels of a box, inside the picture: x_min, y_min, x_max, y_max."""
    y_min, x_min, y_max, x_max = (round(v * factor) for v in bb)
    x_min, y_min = min(max(x_min, 0), size[0] - 1), min(max(y_min, 0), size[1] - 1)
    return x_min, y_min, min(max(x_max - 1, x_min), size[0] - 1), min(max(y_max - 1, y_min), size[1] - 1)


def _meet(corner: tuple[int, int], size: Size, other: Outline) -> bool:
    """Return whether a label and another rectangle overlap."""
    return all(corner[i] < other[2 + i] and other[i] < corner[i] + size[i] for i in (0, 1))


def _paint_extras(
    picture: Image.Image, found: Sequence[DetectedObject], factor: int, style: _Style, min_point_score: float
) -> None:
    """Paint masks, each instance of a class in its own shade, and keypoints."""
    seen: Counter[int] = Counter()
    masks = []
    for one in found:
        if one.mask is not None:
            masks.append((one.mask, shade(colour_of(one.label), seen[one.label])))
            seen[one.label] += 1
    for mask, colour in reversed(masks):
        paint_mask(picture, mask, colour, style.line)
    for one in found:
        if one.point is not None and one.point_score is not None:
            place, colour = one.point * factor, colour_of(one.label)
            paint_skeleton(picture, place, one.point_score, colour, style.line, min_score=min_point_score)


def _label(
    canvas: ImageDraw.ImageDraw, text: str, corner: tuple[int, int], size: Size, colour: Colour, style: _Style
) -> None:
    x, y = corner
    canvas.rectangle((x, y, x + size[0] - 1, y + size[1] - 1), fill=colour)
    left, top, _, _ = style.font.getbbox(text)
    canvas.text((x + style.pad - left, y + style.pad - top), text, font=style.font, fill=ink_on(colour))
