"""Reader of LabelMe's JSON, a file an image."""

import math
import pathlib
import re
from typing import Any

import numpy as np

from chainfpn._typing import Array, Labels, PathLike, Size
from chainfpn.datasets._box_table import BoxTable, NamedBox, Table, annotated_size
from chainfpn.datasets._enclosing_boxes import enclosing_box
from chainfpn.datasets._files import IMAGE_SUFFIXES, MAX_NUMBER, DataError, Names, read_head
from chainfpn.datasets._json import are_numbers, is_number, read_json

#: Bytes among which LabelMe's files have a key that COCO's have not.
_N_FIRST, _KEY = 4096, re.compile(rb'"shapes"\s*:')
#: Shapes with an area, and the least number of their points.
_MIN_POINTS = {"rectangle": 2, "polygon": 3, "rotation": 3, "mask": 2, "circle": 2}


class LabelMeDataset(BoxTable):
    """Images with boxes from a folder of JSON files, as LabelMe and AnyLabeling write them.

    A polygon, a circle and a mask have the box around them, and so have all shapes of one label and one ``group_id``;
    points and lines are left out, and images without a file. The images are beside the files, in ``images`` here or
    beside the folder, or where the files say.

    Keys: ``img``, ``bbox``, ``label``.

    Args:
        path (str or os.PathLike): The folder.
        label_names (sequence of str or None): Only these labels, in this order; by default all, sorted.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if no file can be read, or two names are of one image.

    Source:
        LabelMe 5, ``labelme/label_file.py`` and its example ``labelme2coco.py``.
    """

    def __init__(
        self, path: PathLike, *, label_names: Labels | None = None, names: Names = None, without: Names = None
    ) -> None:
        path, table = pathlib.Path(path), Table()
        files = sorted(path.glob("*.json"))
        for file in files:
            _add(file, table)
        stems = {file.stem for file in files}
        for image in sorted(path.iterdir()):
            if image.suffix.lower() in IMAGE_SUFFIXES and image.stem not in stems:
                table.left_out.note(f"{image}: has no annotation", "images without an annotation")
        folders = [path, path / "images", path.parent / "images", path.parent]
        super().__init__(path, table, folders, label_names=label_names, names=names, without=without)


def is_labelme(folder: pathlib.Path) -> bool:
    """Return whether the first JSON of a folder is LabelMe's: bool."""
    file = min(folder.glob("*.json"), default=None)
    return file is not None and file.is_file() and _KEY.search(read_head(file, _N_FIRST)) is not None


def _read(file: pathlib.Path) -> tuple[str, list[Any], Size | None]:
    """Return the image of a file, its shapes, and its size."""
    content = read_json(file)
    content = content if isinstance(content, dict) else {}
    name, shapes = content.get("imagePath"), content.get("shapes")
    if not isinstance(name, str) or not isinstance(shapes, list):
        raise DataError(f"{file}: must have an imagePath and shapes, as LabelMe writes them")
    height, width = (content.get(f"image{side}", math.nan) for side in ("Height", "Width"))
    return name, shapes, annotated_size(height, width) if is_number(height) and is_number(width) else None


def _add(file: pathlib.Path, table: Table) -> None:
    """Add what a file says to a table, or why it cannot be read."""
    try:
        name, shapes, size = _read(file)
    except DataError as error:
        table.left_out.add(error.omission)
        return
    if name in table.objects:
        table.left_out.note(f"{file}: is of {name}, and so is another file", "annotations of one image")
        return
    found: dict[tuple[str, Any], list[Array]] = {}
    for i, shape in enumerate(shapes):
        shape = shape if isinstance(shape, dict) else {}
        label, points = _label(shape), _points(shape)
        if not label or points is None:
            table.left_out.note(f"{file}: has a shape that has no label or no box", "shapes without a box")
            continue
        group = shape.get("group_id")
        found.setdefault((label, f"shape {i}" if group is None else str(group)), []).append(points)
    table.objects[name] = [NamedBox(label, enclosing_box(np.concatenate(parts))) for (label, _), parts in found.items()]
    table.sizes[name] = size


def _label(shape: dict[str, Any]) -> str:
    label = shape.get("label")
    return label.strip() if isinstance(label, str) else ""


def _points(shape: dict[str, Any]) -> Array | None:
    """Return points (N, 2), xy, that have the box of a shape around them; None if it has none."""
    points, kind = shape.get("points"), str(shape.get("shape_type") or "polygon")
    if not isinstance(points, list) or not all(map(_is_point, points)) or len(points) < _MIN_POINTS.get(kind, math.inf):
        return None
    places = np.array(points, dtype=np.float64)
    if kind == "circle":  # its centre, and a place on it
        radius = math.dist(*places[:2])
        return places[0] + np.array([[-radius], [radius]])
    return places


def _is_point(point: Any) -> bool:
    return are_numbers(point, 2) and all(abs(value) < MAX_NUMBER for value in point)
