"""Sheets of images: what a data set has, and what a detector does wrong in it."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from chainfpn._typing import Array
from chainfpn.cli.drawing import draw
from chainfpn.cli.fonts import find_font
from chainfpn.cli.results import save_picture
from chainfpn.datasets import DetectionDataset, ValidatedDataset
from chainfpn.links import DetectedObject
from chainfpn.training import Evaluation

#: Images of a sheet, those of a row, pixels of a side of each, and those of the line below with its name.
_N_IMAGES, _N_COLUMNS, _SIDE, _LINE = 16, 4, 320, 20
#: Score above which a detection that is wrong is a mistake, as in the pictures of ``chainfpn detect``.
_SCORE = 0.5


def draw_sheet(data: ValidatedDataset, indices: list[int], path: pathlib.Path) -> None:
    """Draw some images, spread over the data, with their boxes.

    Args:
        data (ValidatedDataset): The data.
        indices (list of int): The images that can be read.
        path (pathlib.Path): The picture.

    Raises:
        OSError: if it cannot be written.
    """
    chosen = [indices[k] for k in np.linspace(0, len(indices) - 1, min(_N_IMAGES, len(indices))).astype(int)]
    tiles = []
    for i in chosen:
        img, bbox, label, *keypoints = data[i]
        point, visible = keypoints or ([None] * len(bbox),) * 2
        objects = [
            DetectedObject(bb, int(one), math.nan, None, places, None if seen is None else _logits(seen))
            for bb, one, places, seen in zip(bbox, label, point, visible, strict=True)
        ]
        tiles.append((data.file_name(i), _tile(img, objects, data.label_names)))
    _write(tiles, path)


def draw_mistakes(evaluation: Evaluation, data: DetectionDataset, path: pathlib.Path) -> str:
    """Draw the images with the most mistakes: detections that are wrong, and ground truth that was missed.

    Args:
        evaluation (Evaluation): Detections and ground truth.
        data (DetectionDataset): Their images.
        path (pathlib.Path): The picture.

    Returns:
        str: A sentence about how many there are.

    Raises:
        OSError: if it cannot be written.
    """
    mistakes, names = evaluation.mistakes(_SCORE), evaluation.label_names
    n_wrong, n_missed = (sum(len(pair[side]["label"]) for pair in mistakes.values()) for side in (0, 1))
    worst = sorted(mistakes, key=lambda i: -sum(len(side["label"]) for side in mistakes[i]))[:_N_IMAGES]
    tiles = []
    for i in worst:
        wrong, missed = mistakes[i]
        rows = [*zip(*wrong.values(), strict=True)]
        rows += [(bb, len(names) + label, math.nan) for bb, label in zip(*missed.values(), strict=True)]
        objects = [DetectedObject(bb, int(label), float(score), None, None, None) for bb, label, score in rows]
        (img,) = data.read(i, ["img"])
        tiles.append((data.file_name(i), _tile(img, objects, (*names, *(f"missed {name}" for name in names)))))
    _write(tiles, path)
    return f"{n_missed} objects missed, {n_wrong} detections above {_SCORE} wrong; the worst images: {path}"


def _write(tiles: Sequence[tuple[str, Image.Image]], path: pathlib.Path) -> None:
    """Write tiles, each with the name of its file below."""
    n_columns, n_rows = max(1, min(_N_COLUMNS, len(tiles))), max(1, -(-len(tiles) // _N_COLUMNS))
    sheet = Image.new("RGB", (n_columns * _SIDE, n_rows * (_SIDE + _LINE)), "white")
    canvas, font = ImageDraw.Draw(sheet), find_font((file for file, _ in tiles), 13)
    for k, (file, tile) in enumerate(tiles):
        left, top = (k % n_columns * _SIDE, k // n_columns * (_SIDE + _LINE))
        sheet.paste(tile, (left + (_SIDE - tile.width) // 2, top + _SIDE - tile.height))
        name = pathlib.PurePath(file).name
        while font.getlength(name) > _SIDE - 4:
            name = f"…{name[2:]}"
        canvas.text((left + _SIDE // 2, top + _SIDE + 2), name, fill="black", font=font, anchor="ma")
    save_picture(sheet, path)


def _tile(img: Array, objects: Sequence[DetectedObject], names: Sequence[str]) -> Image.Image:
    """Return an image of the size of a tile with its boxes and keypoints."""
    image = Image.fromarray(img.transpose(1, 2, 0).astype(np.uint8))
    scale = (_SIDE - 4) / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    scaled = [
        one._replace(bbox=one.bbox * scale, point=None if one.point is None else one.point * scale) for one in objects
    ]
    picture = draw(image.resize(size), scaled, names)
    return picture.resize(size) if picture.size != size else picture


def _logits(visible: Array) -> Array:
    """Return logits by which only keypoints that are visible are drawn."""
    return np.where(visible, np.inf, -np.inf)
