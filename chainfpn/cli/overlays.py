"""Masks and keypoints on a picture."""

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from chainfpn._typing import Array
from chainfpn.cli.colours import Colour
from chainfpn.links import Detector

#: How much of a mask's colour covers the image.
_OPACITY = 0.45
#: Score of a keypoint that is drawn: of logits as ChainerCV's ``vis_keypoint_coco`` has it, of probabilities as
#: detectron2's ``Visualizer``.
MIN_POINT_LOGIT, MIN_POINT_PROBABILITY = 2.0, 0.05
#: A skeleton is drawn so much larger and made smaller again, for smooth lines.
_OVERSAMPLING = 3
#: Pairs of COCO's 17 keypoints that are joined, with the side of the body, which has its own shade.
_LIMBS = {
    "left": ((5, 7), (7, 9), (11, 13), (13, 15), (5, 11), (1, 3), (0, 1)),
    "right": ((6, 8), (8, 10), (12, 14), (14, 16), (6, 12), (2, 4), (0, 2)),
    "middle": ((5, 6), (11, 12)),
}
_SIDES: dict[str, Colour] = {"left": (64, 224, 255), "right": (255, 170, 40), "middle": (240, 240, 240)}
_N_COCO = 17


def paint_mask(picture: Image.Image, mask: Array, colour: Colour, line: int) -> None:
    """Lay a colour over what a mask covers, and its full strength along the border.

    Args:
        picture (PIL.Image.Image): RGB; painted on.
        mask (array): bool, (H, W), of the picture or of the image that it is an enlargement of.
        colour (tuple of int): The colour.
        line (int): Width of the border in pixels.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    factor = picture.width // mask.shape[1]
    margin = -(-line // factor) + 1
    y_min, x_min = max(0, rows[0] - margin), max(0, columns[0] - margin)
    part = mask[y_min : rows[-1] + 1 + margin, x_min : columns[-1] + 1 + margin]
    cover = Image.fromarray(part.astype(np.uint8) * 255)
    cover = cover.resize((cover.width * factor, cover.height * factor), Image.Resampling.NEAREST)
    inner = cover
    for dx, dy in ((line, 0), (-line, 0), (0, line), (0, -line)):
        shifted = Image.new("L", cover.size)
        shifted.paste(cover, (dx, dy))
        inner = ImageChops.darker(inner, shifted)
    border = ImageChops.subtract(cover, inner)
    strength = ImageChops.lighter(cover.point(lambda value: round(value * _OPACITY)), border)
    picture.paste(colour, (int(x_min * factor), int(y_min * factor)), strength)


def min_point_score(detector: Detector) -> float:
    """Return the score from which a detector's keypoints are drawn."""
    gives_probabilities = getattr(getattr(detector, "roi_heads", None), "keypoint_probabilities", False)
    return MIN_POINT_PROBABILITY if gives_probabilities else MIN_POINT_LOGIT


def paint_skeleton(
    picture: Image.Image, point: Array, score: Array, colour: Colour, line: int, *, min_score: float = MIN_POINT_LOGIT
) -> None:
    """Draw keypoints, and what joins them if they are COCO's 17.

    Args:
        picture (PIL.Image.Image): RGB; drawn on.
        point (array): (K, 2), yx in pixels of the picture.
        score (array): (K,).
        colour (tuple of int): Of points.
        line (int): Width of lines in pixels.
        min_score (float): Keypoints with a lower score are left out.
    """
    good = score >= min_score
    if not good.any():
        return
    low = np.floor(point[good].min(axis=0)) - 3 * line
    high = np.ceil(point[good].max(axis=0)) + 3 * line
    (top, left), (height, width) = low.astype(int).tolist(), (high - low).astype(int).tolist()
    scale = _OVERSAMPLING if width * height < 1 << 21 else 1
    layer = Image.new("RGBA", (width * scale, height * scale))
    canvas = ImageDraw.Draw(layer)
    at = [tuple(place) for place in ((point[:, ::-1] - low[::-1]) * scale).tolist()]
    for side, limbs in _LIMBS.items() if len(point) == _N_COCO else ():
        for a, b in limbs:
            if good[a] and good[b]:
                canvas.line((*at[a], *at[b]), fill=(*_SIDES[side], 255), width=round(1.4 * line * scale))
    for (x, y), shown in zip(at, good, strict=True):
        if shown:
            for radius, fill in ((line * scale * 1.9, (20, 20, 20)), (line * scale * 1.4, colour)):
                canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*fill, 255))
    layer = layer.resize((width, height), Image.Resampling.BOX) if scale > 1 else layer
    picture.paste(layer.convert("RGB"), (left, top), layer.getchannel("A"))
