"""One picture of a detector's insides: input, maps, anchors, proposals, detections."""

from collections.abc import Sequence
from typing import Any

import chainer
import numpy as np
from chainer import backend
from chainer.backends import cuda
from PIL import Image, ImageDraw, ImageFont

from chainfpn._typing import Array
from chainfpn.cli.colours import colour_of
from chainfpn.cli.detector import names_of_labels
from chainfpn.cli.drawing import draw
from chainfpn.cli.overlays import min_point_score
from chainfpn.images import to_array
from chainfpn.links import Detector

#: Width of a panel, and height of the line above it, in pixels.
_WIDTH, _LINE = 320, 22
#: Boxes of proposals that are drawn, best first.
_N_PROPOSALS = 100
#: Dark blue to yellow, by equal steps.
_HEAT = np.array([(13, 8, 60), (85, 15, 109), (187, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=float)


def draw_features(detector: Detector, image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Run a detector on an image, and draw what it computes on the way.

    Args:
        detector (chainfpn.links.Detector): The detector, on any device.
        image (PIL.Image.Image): In mode RGB.

    Returns:
        tuple: The picture: a row with input, proposals (of the two-stage detectors) and detections, one with the maps
        of each level, as the root of their mean square over the channels, and one with the anchors at the middle of
        each. And the numbers of each level, a line each.
    """
    (found,) = detector.detect([to_array(image)])
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        x, sizes = detector.prepare([to_array(image)])
        hs = detector.backbone(x)
        hs = list(hs.values()) if isinstance(hs, dict) else list(hs)
        proposals = cuda.to_cpu(detector.rpn(hs, sizes, x.shape[2:])[0]) if hasattr(detector, "rpn") else None
    generator = detector.rpn.anchor_generator if hasattr(detector, "rpn") else detector.anchor_generator
    anchors = generator([h.shape[2:] for h in hs], x.shape[2:], backend.get_array_module(x))
    order = -1 if getattr(detector.preprocess, "channel_order", "RGB") == "BGR" else 1
    seen = _seen(cuda.to_cpu(x[0])[::order])
    first = [(f"input {x.shape[2]} x {x.shape[3]}", seen)]
    if proposals is not None:
        drawn = _with_boxes(seen, proposals[:_N_PROPOSALS])
        first.append((f"{len(proposals)} proposals, the first {len(proposals[:_N_PROPOSALS])}", drawn))
    picture = draw(image, found, names_of_labels(detector), min_point_score=min_point_score(detector))
    first.append((f"{len(found)} detections", picture))
    maps, boxes, lines = [], [], []
    for level, (h, anchor) in enumerate(zip(hs, anchors, strict=True)):
        array, anchor = cuda.to_cpu(h.array[0]).astype(np.float32), cuda.to_cpu(anchor)
        n = len(anchor) // (array.shape[1] * array.shape[2])
        middle = (array.shape[1] // 2 * array.shape[2] + array.shape[2] // 2) * n
        maps.append((f"level {level}: {' x '.join(map(str, array.shape))}", _heat(array)))
        boxes.append((f"{n} anchors a place", _with_boxes(seen, anchor[middle : middle + n])))
        lines.append(_numbers(level, array, n))
    return _sheet([first, maps, boxes]), lines


def _numbers(level: int, array: Array, n_anchors: int) -> str:
    shape = " x ".join(map(str, array.shape))
    values = f"mean {array.mean():.4g}, deviation {array.std():.4g}, {array.min():.4g} to {array.max():.4g}"
    broken = "" if np.isfinite(array).all() else ", NOT FINITE"
    return f"level {level}: {shape}, {n_anchors} anchors a place, {values}{broken}"


def _seen(x: Array) -> Image.Image:
    """Return a normalized image, (3, H, W), RGB, as grey and colours, whatever it was normalized by."""
    low, high = x.min(), x.max()
    pixels = (x - low) * (255 / max(float(high - low), 1e-6))
    return Image.fromarray(pixels.transpose(1, 2, 0).astype(np.uint8))


def _heat(array: Array) -> Image.Image:
    """Return a map, (C, H, W), as colours."""
    strength = np.sqrt((np.nan_to_num(array) ** 2).mean(axis=0))
    strength = (strength - strength.min()) / max(float(np.ptp(strength)), 1e-6) * (len(_HEAT) - 1)
    at = np.arange(len(_HEAT))
    return Image.fromarray(np.stack([np.interp(strength, at, _HEAT[:, c]) for c in range(3)], axis=2).astype(np.uint8))


def _with_boxes(image: Image.Image, bbox: Array) -> Image.Image:
    picture = image.copy()
    canvas = ImageDraw.Draw(picture)
    line = max(1, round(picture.width / 250))
    for i, (y_min, x_min, y_max, x_max) in reversed(list(enumerate(bbox.tolist()))):
        canvas.rectangle((x_min, y_min, max(x_max, x_min), max(y_max, y_min)), outline=colour_of(i % 9), width=line)
    return picture


def _sheet(rows: Sequence[Sequence[tuple[str, Image.Image]]]) -> Image.Image:
    """Put panels, each with a line above it, into rows."""
    font: Any = ImageFont.load_default(14)
    height = max(round(_WIDTH * panel.height / panel.width) for row in rows for _, panel in row) + _LINE
    sheet = Image.new("RGB", (_WIDTH * max(map(len, rows)), height * len(rows)), (24, 24, 24))
    canvas = ImageDraw.Draw(sheet)
    for j, row in enumerate(rows):
        for i, (text, panel) in enumerate(row):
            size = _WIDTH - 4, round((_WIDTH - 4) * panel.height / panel.width)
            enlarges = panel.width < _WIDTH
            resized = panel.resize(size, Image.Resampling.NEAREST if enlarges else Image.Resampling.LANCZOS)
            sheet.paste(resized, (i * _WIDTH + 2, j * height + _LINE))
            canvas.text((i * _WIDTH + 4, j * height + _LINE / 2), text, font=font, fill="white", anchor="lm")
    return sheet
