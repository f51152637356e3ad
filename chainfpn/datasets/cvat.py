"""Reader of CVAT's own XML."""

import math
import pathlib
from xml.etree import ElementTree

import numpy as np

from chainfpn._typing import Labels, PathLike
from chainfpn.datasets._box_table import BoxTable, NamedBox, Table, annotated_size
from chainfpn.datasets._enclosing_boxes import ellipse_box, enclosing_box, turned_corners
from chainfpn.datasets._files import DataError, Names, to_number
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
        path, table = pathlib.Path(path), Table()
        root = read_xml(path)
        if root.tag != "annotations" or root.find("track") is not None:
            raise DataError(f"{path}: must be of CVAT's format for images, with an image of each name")
        subsets = set[str]()
        for image in root.iter("image"):
            name = image.get("name", "")
            if not name or name in table.objects:
                raise DataError(f"{path}: every image must have a name of its own, got {name!r}")
            table.objects[name] = _objects(path, image, table)
            table.sizes[name] = annotated_size(*_numbers(image, "height", "width"))
            subsets.add(image.get("subset", ""))
        folders = [path.parent / part for part in ("", "images", *(f"images/{name}" for name in sorted(subsets)))]
        declared = [(label.text or "").strip() for label in root.iterfind(".//labels/label/name")]
        known = list(dict.fromkeys([*filter(None, declared), *table.names]))
        super().__init__(path, table, folders, known, label_names=label_names, names=names, without=without)


def _objects(path: pathlib.Path, image: ElementTree.Element, table: Table) -> list[NamedBox]:
    """Return the objects of an image."""
    objects = []
    for shape in image:
        label, bb = shape.get("label", "").strip(), _box(shape)
        if not label or any(map(math.isnan, bb)):
            sentence = f"{path}: has a {shape.tag} in {image.get('name')} that has no label or no box"
            table.left_out.note(sentence, "shapes without a box")
        else:
            objects.append(NamedBox(label, bb))
    return objects


def _box(shape: ElementTree.Element) -> list[float]:
    """Return the box around a shape, yxyx, with what is no number where it has none."""
    if shape.tag == "polygon":
        try:
            points = [[to_number(value) for value in point.split(",")] for point in shape.get("points", "").split(";")]
            return enclosing_box(np.array(points, dtype=np.float64).reshape(-1, 2))
        except ValueError:
            return [math.nan]
    if shape.tag == "box":
        box = _numbers(shape, "xtl", "ytl", "xbr", "ybr")
        centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return enclosing_box(turned_corners(box, to_number(shape.get("rotation", "0")), centre))
    if shape.tag == "mask":
        left, top, width, height = _numbers(shape, "left", "top", "width", "height")
        return [top, left, top + height, left + width]
    if shape.tag == "ellipse":
        x, y, rx, ry = _numbers(shape, "cx", "cy", "rx", "ry")
        return ellipse_box(x, y, rx, ry, to_number(shape.get("rotation", "0")))
    return [math.nan]


def _numbers(element: ElementTree.Element, *keys: str) -> list[float]:
    return [to_number(element.get(key)) for key in keys]
