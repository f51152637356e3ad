"""Reader of CVAT's own XML."""

import math
import pathlib
from xml.etree import ElementTree

import numpy as np

from chainfpn._typing import Labels, PathLike, Size
from chainfpn.datasets._box_table import BoxTable, NamedBox, annotated_size
from chainfpn.datasets._enclosing_boxes import ellipse_box, enclosing_box, turned_corners
from chainfpn.datasets._files import MAX_NUMBER, DataError, Names
from chainfpn.datasets._left_out import LeftOut, Omission
from chainfpn.datasets._voc_xml import read_xml


class CVATDataset(BoxTable):
    """Images with boxes from ``annotations.xml`` of the format "CVAT for images".

    A box that was turned, a polygon, an ellipse and a mask have the box around them. Points, lines, cuboids, skeletons
    and tags are left out, and their images stay. The images are beside the file, or in ``images``.

    Keys: ``img``, ``bbox``, ``label``.

    Args:
        path (str or os.PathLike): The file.
        label_names (sequence of str or None): Only these labels, in this order; by default those of the task, in its
            order.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if the file cannot be read, is of a video, or two names are of one image.

    Source:
        CVAT's documentation, "XML annotation format", version 1.1.
    """

    def __init__(
        self, path: PathLike, *, label_names: Labels | None = None, names: Names = None, without: Names = None
    ) -> None:
        path, left_out = pathlib.Path(path), LeftOut()
        root = read_xml(path)
        if root.tag != "annotations" or root.find("track") is not None:
            raise DataError(f"{path}: must be of CVAT's format for images, with an image of each name")
        table: dict[str, list[NamedBox]] = {}
        sizes: dict[str, Size | None] = {}
        subsets = set[str]()
        for image in root.iter("image"):
            name, subset = image.get("name", ""), image.get("subset", "")
            if not name or name in table:
                raise DataError(f"{path}: every image must have a name of its own, got {name!r}")
            table[name] = _objects(path, image, left_out)
            sizes[name] = annotated_size(_number(image, "height"), _number(image, "width"))
            subsets.add(subset)
        folders = [path.parent / part for part in ("", "images", *(f"images/{name}" for name in sorted(subsets)))]
        declared = [(label.text or "").strip() for label in root.iterfind(".//labels/label/name")]
        found = sorted({one.name for objects in table.values() for one in objects})
        known = list(dict.fromkeys([*filter(None, declared), *found]))
        super().__init__(
            path, table, known, label_names=label_names, names=names, without=without, sizes=sizes, folders=folders,
            left_out=left_out,
        )  # fmt: skip


def _objects(path: pathlib.Path, image: ElementTree.Element, left_out: LeftOut) -> list[NamedBox]:
    """Return the objects of an image."""
    objects = []
    for shape in image:
        label, bb = shape.get("label", "").strip(), _box(shape)
        if not label or not all(abs(value) < MAX_NUMBER for value in bb):
            sentence = f"{path}: has a {shape.tag} in {image.get('name')} that has no label or no box"
            left_out.add(Omission(sentence, "shapes without a box"))
        else:
            objects.append(NamedBox(label, bb))
    return objects


def _box(shape: ElementTree.Element) -> list[float]:
    """Return the box around a shape, yxyx, with what is no number where it has none."""
    degrees = _number(shape, "rotation", 0.0)
    if shape.tag == "polygon":
        try:
            points = [[float(value) for value in point.split(",")] for point in shape.get("points", "").split(";")]
            return enclosing_box(np.array(points, dtype=np.float64).reshape(-1, 2))
        except ValueError:
            return [math.nan]
    if shape.tag == "box":
        box = [_number(shape, side) for side in ("xtl", "ytl", "xbr", "ybr")]
        return enclosing_box(turned_corners(box, degrees, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)))
    if shape.tag == "mask":
        left, top, width, height = (_number(shape, side) for side in ("left", "top", "width", "height"))
        return [top, left, top + height, left + width]
    if shape.tag == "ellipse":
        x, y, rx, ry = (_number(shape, side) for side in ("cx", "cy", "rx", "ry"))
        return ellipse_box(x, y, rx, ry, degrees)
    return [math.nan]


def _number(element: ElementTree.Element, key: str, default: float = math.nan) -> float:
    try:
        value = float(element.get(key, default))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
