"""Large-scale jitter."""

import numpy as np
from chainercv.transforms import resize_bbox, resize_point, translate_bbox, translate_point

from chainfpn._attributes import Checked
from chainfpn._typing import Array, Size
from chainfpn.datasets.transforms import RandomTransform, large_enough, move
from chainfpn.functions import resize_bilinear


class LargeScaleJitter(RandomTransform):
    """Show an image up to twenty times larger or smaller on a canvas of its own size.

    A factor is drawn evenly, and then where the canvas lies in the image, or the image on the canvas, whose rest is
    grey. Boxes are clipped; those that are less than a pixel high or wide then are dropped.

    Args:
        scales ((float, float)): Smallest and largest factor.
        probability (float): How often.

    Raises:
        ValueError: if not 0 < smallest <= largest, or probability is not in 0..1.

    Source:
        Ghiasi et al. 2021, "Simple Copy-Paste", section 3; torchvision's ``ScaleJitter`` (0.1 to 2).
    """

    scales = Checked("two numbers, 0 < smallest <= largest", lambda value: len(value) == 2 and 0 < value[0] <= value[1])

    def __init__(self, scales: tuple[float, float] = (0.1, 2.0), *, probability: float = 1.0) -> None:
        self.scales, self.probability = scales, probability

    def _transform(self, example: tuple) -> tuple:
        img, bbox, *rest = example
        size = img.shape[1:]
        scale = np.random.uniform(*self.scales)
        new = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        y, x = (round(np.random.rand() * (side - n)) for side, n in zip(size, new, strict=True))
        offset = y, x
        canvas = np.full_like(img, 114)
        _put(canvas, resize_bilinear(img[None], new).array[0], offset)
        bbox = translate_bbox(resize_bbox(bbox, size, new), *offset)
        bbox = np.clip(bbox, 0, np.array(size * 2, dtype=np.float32))
        kept = large_enough(bbox)
        rest = move(
            [value[kept] for value in rest],
            size,
            lambda mask: _move_mask(mask, new, offset),
            lambda point: translate_point(resize_point(point, size, new), *offset),
        )
        return canvas, bbox[kept], *rest


def _move_mask(mask: Array, new: Size, offset: Size) -> Array:
    y, x = ((np.arange(n) * o // n) for n, o in zip(new, mask.shape[1:], strict=True))  # nearest pixels
    canvas = np.zeros_like(mask)
    _put(canvas, mask[:, y[:, None], x], offset)
    return canvas


def _put(canvas: Array, layers: Array, offset: Size) -> None:
    """Write an image to a place of a canvas, as far as it lies there: both (C, h, w)."""
    to, part = [], []
    for start, n, side in zip(offset, layers.shape[1:], canvas.shape[1:], strict=True):
        to.append(slice(max(start, 0), min(start + n, side)))
        part.append(slice(max(-start, 0), max(-start, 0) + to[-1].stop - to[-1].start))
    canvas[:, to[0], to[1]] = layers[:, part[0], part[1]]
