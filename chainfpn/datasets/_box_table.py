"""Base of data sets whose boxes are read ahead, by their names."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from chainfpn._typing import Array, Labels, Size
from chainfpn.datasets._files import Names, check_unique, choose_labels, find_image, select
from chainfpn.datasets._left_out import LeftOut
from chainfpn.datasets.detection_dataset import DetectionDataset


class NamedBox(NamedTuple):
    """The name of an object and its box: yxyx."""

    name: str
    bb: Sequence[float]


class Table:
    """What a file says.

    Attributes:
        objects (dict): Name or path of each image to a list of NamedBox.
        sizes (dict): The same to the annotated height and width, of images that have them.
        left_out (LeftOut): What was left out.
    """

    def __init__(self) -> None:
        self.objects: dict[str, list[NamedBox]] = {}
        self.sizes: dict[str, Size | None] = {}
        self.left_out = LeftOut()

    @property
    def names(self) -> list[str]:
        """The names that occur, sorted: list of str."""
        return sorted({one.name for objects in self.objects.values() for one in objects})


def annotated_size(height: float, width: float) -> Size | None:
    """Return the size of an image that a file has, None if these are no sides."""
    return (int(height), int(width)) if 1 <= height < 2**31 and 1 <= width < 2**31 else None


class BoxTable(DetectionDataset):
    """Images with the boxes of a table.

    Args:
        source (pathlib.Path): The file or folder, for messages.
        table (Table): What it says.
        folders (sequence of pathlib.Path): Where the images may be.
        known (sequence of str or None): All names of labels, in their order; by default those that occur, sorted.
        label_names (sequence of str or None): Only these labels, in this order.
        names (sequence of str, str, os.PathLike or None): Only these images.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if a name is of no label or image, or two are of one file.
    """

    def __init__(
        self,
        source: pathlib.Path,
        table: Table,
        folders: Sequence[pathlib.Path],
        known: Labels | None = None,
        *,
        label_names: Labels | None = None,
        names: Names = None,
        without: Names = None,
    ) -> None:
        images = list(table.objects)
        files = [find_image(folders, image) for image in images]
        check_unique(source, "images", "file", map(str, files), images)
        chosen = select(files, names=names, without=without, source=source)
        known = table.names if known is None else known
        super().__init__([files[i] for i in chosen], choose_labels(source, label_names, known, known))
        self._labels = {name: label for label, name in enumerate(self.label_names)}
        self._sizes = [table.sizes.get(images[i]) for i in chosen]
        found = [table.objects[images[i]] for i in chosen]
        self._objects = [[one for one in objects if one.name in self._labels] for objects in found]
        n_others = sum(map(len, found)) - sum(map(len, self._objects))
        if n_others:
            self.left_out.counts["objects of other categories"] += n_others
        self.left_out.extend(table.left_out)
        self.add_getter(("bbox", "label"), self._get_annotations)
        self.keys = self.DEFAULT_KEYS

    def _get_annotations(self, i: int) -> tuple[Array, Array]:
        """Return ``bbox``, ``label``."""
        objects = self._objects[i]
        bbox = np.array([one.bb for one in objects], dtype=np.float32).reshape(-1, 4)
        return bbox, np.array([self._labels[one.name] for one in objects], dtype=np.int32)
