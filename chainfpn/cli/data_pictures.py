"""A sheet of images with their boxes."""

import math
import pathlib

import numpy as np
from PIL import Image

from chainfpn._typing import Array
from chainfpn.cli.drawing import draw
from chainfpn.cli.results import save_picture
from chainfpn.datasets import ValidatedDataset
from chainfpn.links import DetectedObject

#: Images of a sheet, those of a row, and pixels of a side of each.
_N_IMAGES, _N_COLUMNS, _SIDE = 16, 4, 320


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
    n_rows = max(1, -(-len(chosen) // _N_COLUMNS))
    n_columns = max(1, min(_N_COLUMNS, len(chosen)))
    sheet = Image.new("RGB", (n_columns * _SIDE, n_rows * _SIDE), "white")
    for k, i in enumerate(chosen):
        tile = _tile(*data[i], names=data.label_names)
        left, top = (k % n_columns * _SIDE, k // n_columns * _SIDE)
        sheet.paste(tile, (left + (_SIDE - tile.width) // 2, top + (_SIDE - tile.height) // 2))
    save_picture(sheet, path)


def _tile(img: Array, bbox: Array, label: Array, *keypoints: Array, names: tuple[str, ...]) -> Image.Image:
    """Return an image of the size of a tile with its boxes and keypoints."""
    image = Image.fromarray(img.transpose(1, 2, 0).astype(np.uint8))
    scale = (_SIDE - 4) / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    point, visible = keypoints or ([None] * len(bbox),) * 2
    objects = [
        DetectedObject(bb * scale, int(one), math.nan, None, *_scored(places, seen, scale))
        for bb, one, places, seen in zip(bbox, label, point, visible, strict=True)
    ]
    picture = draw(image.resize(size), objects, names)
    return picture.resize(size) if picture.size != size else picture


def _scored(point: Array | None, visible: Array | None, scale: float) -> tuple[Array | None, Array | None]:
    """Return places in the tile and logits by which only what is visible is drawn."""
    if point is None or visible is None:
        return None, None
    return point * scale, np.where(visible, np.inf, -np.inf)
