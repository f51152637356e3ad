"""Base of data sets whose boxes are read ahead, by their names."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from chainfpn._typing import Array, Labels, Size
from chainfpn.datasets._files import Names, choose_labels, select
from chainfpn.datasets.detection_dataset import DetectionDataset


class NamedBox(NamedTuple):
    """The name of an object and its box: yxyx."""

    name: str
    bb: Sequence[float]


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
