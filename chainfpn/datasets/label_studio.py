"""Reader of Label Studio's own JSON."""

import json
import os
import pathlib
import re
from typing import Any
from urllib.parse import unquote

import numpy as np

from chainfpn._typing import Labels, PathLike, Size
from chainfpn.datasets._box_table import BoxTable, NamedBox, Table
from chainfpn.datasets._enclosing_boxes import ellipse_box, enclosing_box, turned_corners
from chainfpn.datasets._files import IMAGE_SUFFIXES, DataError, Names, find_image
from chainfpn.datasets._json import are_numbers, is_number, read_json

#: What labels are called by the kind of shape.
_LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels")
#: What is larger is no place in an image.
_MAX_NUMBER = 1e6
#: What Label Studio puts before the name of a file that was uploaded.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")


class LabelStudioDataset(BoxTable):
    """Images with boxes from an export of the format "JSON" or "JSON-MIN".

    A box that was turned, a polygon and an ellipse have the box around them; any other shape is left out. Of several
    annotations of an image the first that was not cancelled counts. The images are beside the file, or in ``images``,
    with or without the eight digits that an upload puts before their names.

    Keys: ``img``, ``bbox``, ``label``.

    Args:
        path (str or os.PathLike): The file.
        label_names (sequence of str or None): Only these labels, in this order; by default all, sorted.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if the file cannot be read, is no such export, or two tasks have one image.

    Source:
        Label Studio's documentation, "Export annotations".
    """

    def __init__(
        self, path: PathLike, *, label_names: Labels | None = None, names: Names = None, without: Names = None
    ) -> None:
        path = pathlib.Path(path)
        folders = [path.parent, path.parent / "images"]
        table = _read_table(path, folders)
        super().__init__(path, table, folders, label_names=label_names, names=names, without=without)


def read_tasks(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the tasks of a JSON file, at least one: list of dict; a DataError if it has none."""
    tasks = read_json(path)
    if not isinstance(tasks, list) or not tasks or not all(map(_is_task, tasks)):
        raise DataError(
            f"{path}: must be COCO's instances, a JSON object, or a list of Label Studio's tasks, with images"
        )
    return tasks


def _is_task(task: Any) -> bool:
    return isinstance(task, dict) and (isinstance(task.get("data"), dict) or "annotator" in task)


def _read_table(path: pathlib.Path, folders: list[pathlib.Path]) -> Table:
    table = Table()
    for task in read_tasks(path):
        name = _image_name(task, folders)
        if name is None or name in table.objects:
            raise DataError(f"{path}: every task must have an image of its own, got {json.dumps(task)[:80]}")
        shapes = _shapes(task)
        if shapes is None:
            table.left_out.note(f"{path}: has no annotation of {name}", "images without an annotation")
            continue
        table.objects[name] = []
        for shape in shapes:
            labels, size = _labels(shape), _size(shape)
            bb = None if size is None else _box(shape, size)
            if bb is None or not labels:
                sentence = f"{path}: has a shape in {name} that has no label or no box"
                table.left_out.note(sentence, "shapes without a box")
                continue
            table.sizes[name] = size
            table.objects[name] += [NamedBox(label, bb) for label in labels]
    return table


def _image_name(task: dict[str, Any], folders: list[pathlib.Path]) -> str | None:
    """Return the name of the image of a task, without what an upload has put before it if the file is called so."""
    data = task.get("data", task)
    texts = [text for text in (data.get("image"), *data.values()) if isinstance(text, str)]
    paths = (unquote(text.partition("?d=")[2] or text.partition("?")[0]).replace("\\", "/") for text in texts)
    names = (path.rpartition("/")[2] for path in paths)
    name = next((name for name in names if name.lower().endswith(IMAGE_SUFFIXES)), None)
    if name is None:
        return None
    candidates = name, _UPLOADED.sub("", name)
    return next((one for one in candidates if os.path.isfile(find_image(folders, one))), name)


def _shapes(task: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the shapes of a task: of an annotation's results, or those that JSON-MIN has beside its image.

    None is of a task that nobody has done.
    """
    if "data" not in task:
        return [shape for shapes in task.values() for shape in _objects(shapes)]
    annotations = _objects(task.get("annotations"))
    kept = [one for one in annotations if isinstance(one.get("result"), list) and not one.get("was_cancelled")]
    if not kept:
        return None
    results = [shape for shape in _objects(kept[0]["result"]) if isinstance(shape.get("value"), dict)]
    return [{**shape, **shape["value"]} for shape in results]


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return the JSON objects of a list, none of anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _labels(shape: dict[str, Any]) -> list[str]:
    labels: Any = next((shape[key] for key in _LABELS if key in shape), [])
    return [str(label) for label in labels] if isinstance(labels, list) else []


def _size(shape: dict[str, Any]) -> Size | None:
    """Return the height and width of the image of a shape, None if it has none or the image was turned."""
    sides: list[Any] = [shape.get("original_height"), shape.get("original_width")]
    if shape.get("image_rotation") or not all(is_number(side) and 1 <= side <= _MAX_NUMBER for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def _box(shape: dict[str, Any], size: Size) -> list[float] | None:
    """Return the box around a shape in pixels, yxyx; None if it has none. Its own numbers are hundredths."""
    values = [shape.get(key, 0) for key in ("x", "y", "width", "height", "radiusX", "radiusY", "rotation")]
    if not all(is_number(value) and abs(value) <= _MAX_NUMBER for value in values):
        return None
    height, width = size
    scale = np.array([width, height] * 3 + [100]) / 100
    x, y, w, h, rx, ry, degrees = (np.array(values, dtype=np.float64) * scale).tolist()
    if "rectanglelabels" in shape:
        return enclosing_box(turned_corners((x, y, x + w, y + h), degrees, (x, y)))
    if "ellipselabels" in shape:
        return ellipse_box(x, y, rx, ry, degrees)
    points = shape.get("points")
    if not isinstance(points, list) or not points or not all(are_numbers(point, 2) for point in points):
        return None
    return enclosing_box(np.array(points, dtype=np.float64) * scale[:2])
