"""Base of data sets whose boxes are read ahead, by their names."""

import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from chainfpn._typing import Array, Labels, PathLike, Size
from chainfpn.datasets._files import Names, check_unique, choose_labels, select
from chainfpn.datasets.detection_dataset import DetectionDataset


class NamedBox(NamedTuple):
    """The name of an object and its box: yxyx."""

    name: str
    bb: Sequence[float]


def find_images(source: PathLike, names: Iterable[str], folders: Sequence[pathlib.Path]) -> dict[str, pathlib.Path]:
    """Find the images that a table names, perhaps with the folders of another machine.

    Args:
        source (str or os.PathLike): The table, for messages.
        names (iterable of str): What it calls them.
        folders (sequence of pathlib.Path): Where they may be, the first of which is taken for those that are nowhere.

    Returns:
        dict: Name to path.

    Raises:
        DataError: if two names are of one file.
    """
    files = {name: _find(folders, name.replace("\\", "/")) for name in names}
    check_unique(source, "images", "file", map(str, files.values()), files)
    return files


def _find(folders: Sequence[pathlib.Path], name: str) -> pathlib.Path:
    candidates = [folder / part for folder in folders for part in (name, pathlib.PurePosixPath(name).name)]
    return next((path for path in candidates if path.is_file()), candidates[0])


def enclosing_box(points: Array) -> list[float]:
    """Return the box around points (N, 2), xy: y_min, x_min, y_max, x_max."""
    return [*points.min(axis=0)[::-1].tolist(), *points.max(axis=0)[::-1].tolist()]


def turned_corners(box: Sequence[float], degrees: float, pivot: Sequence[float]) -> Array:
    """Return the corners of a box that is turned clockwise.

    Args:
        box (sequence of float): x_min, y_min, x_max, y_max.
        degrees (float): By how much.
        pivot (sequence of float): x and y of what stays where it is.

    Returns:
        array: float64, (4, 2), xy.
    """
    corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]], dtype=np.float64)
    if not degrees:
        return corners
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (corners - pivot) @ np.array([[cos, sin], [-sin, cos]]) + pivot


def ellipse_box(x: float, y: float, rx: float, ry: float, degrees: float) -> list[float]:
    """Return the box around an ellipse that is turned around its centre: y_min, x_min, y_max, x_max."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_width, half_height = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    return [y - half_height, x - half_width, y + half_height, x + half_width]


class BoxTable(DetectionDataset):
    """Images with the boxes of a table.

    Args:
        source (pathlib.Path): The file or folder, for messages.
        images (dict): Image to its objects.
        known (sequence of str): All names of labels, in their order.
        label_names (sequence of str or None): Only these labels, in this order.
        names (sequence of str, str, os.PathLike or None): Only these images.
        without (sequence of str, str, os.PathLike or None): All images but these.
        sizes (dict): Image to its annotated height and width, of those that have one.

    Raises:
        DataError: if a name is of no label or image.
    """

    def __init__(
        self,
        source: pathlib.Path,
        images: dict[pathlib.Path, list[NamedBox]],
        known: Labels,
        *,
        label_names: Labels | None = None,
        names: Names = None,
        without: Names = None,
        sizes: dict[pathlib.Path, Size] | None = None,
    ) -> None:
        paths = list(images)
        files = [paths[i] for i in select(paths, names=names, without=without, source=source)]
        super().__init__(files, choose_labels(source, label_names, known, known))
        labels = {name: label for label, name in enumerate(self.label_names)}
        self._objects = [[one for one in images[path] if one.name in labels] for path in files]
        self._labels, self._sizes = labels, [(sizes or {}).get(path) for path in files]
        n_others = sum(map(len, (images[path] for path in files))) - sum(map(len, self._objects))
        if n_others:
            self.left_out.counts["objects of other categories"] += n_others
        self.add_getter(("bbox", "label"), self._get_annotations)
        self.keys = self.DEFAULT_KEYS

    def annotated_size(self, i: int) -> Size | None:
        """Return the size of an image as the table has it: (int, int) or None."""
        return self._sizes[i]

    def _get_annotations(self, i: int) -> tuple[Array, Array]:
        """Return ``bbox``, ``label``."""
        objects = self._objects[i]
        bbox = np.array([one.bb for one in objects], dtype=np.float32).reshape(-1, 4)
        return bbox, np.array([self._labels[one.name] for one in objects], dtype=np.int32)
