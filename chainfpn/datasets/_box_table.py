"""Base of data sets whose boxes are read ahead, by their names."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from chainfpn._typing import Array, Labels, Size
from chainfpn.datasets._files import MAX_NUMBER, Names, check_unique, choose_labels, select
from chainfpn.datasets._left_out import LeftOut
from chainfpn.datasets.detection_dataset import DetectionDataset

#: An image by its path, or by the name that a table has of it.
_Image = TypeVar("_Image", str, pathlib.Path)


class NamedBox(NamedTuple):
    """The name of an object and its box: yxyx."""

    name: str
    bb: Sequence[float]


def annotated_size(height: float, width: float) -> Size | None:
    """Return the size of an image that a table has, None if these are no sides."""
    return (int(height), int(width)) if 1 <= height < MAX_NUMBER and 1 <= width < MAX_NUMBER else None


def _find(folders: Sequence[pathlib.Path], name: str) -> pathlib.Path:
    """Find an image, perhaps of another machine's folders; the first place is taken for one that is nowhere."""
    name = name.replace("\\", "/")
    candidates = [folder / part for folder in folders for part in (name, pathlib.PurePosixPath(name).name)]
    return next((path for path in candidates if path.is_file()), candidates[0])


class BoxTable(DetectionDataset):
    """Images with the boxes of a table.

    Args:
        source (pathlib.Path): The file or folder, for messages.
        images (dict): Path or name of an image to its objects.
        known (sequence of str or None): All names of labels, in their order; by default those that occur, sorted.
        label_names (sequence of str or None): Only these labels, in this order.
        names (sequence of str, str, os.PathLike or None): Only these images.
        without (sequence of str, str, os.PathLike or None): All images but these.
        sizes (dict): The same to its annotated height and width, None for those that have none.
        left_out (LeftOut or None): What was left out of the table.
        folders (sequence of pathlib.Path): Where images may be that are not named by their paths.

    Raises:
        DataError: if a name is of no label or image, or two are of one file.
    """

    def __init__(
        self,
        source: pathlib.Path,
        images: dict[_Image, list[NamedBox]],
        known: Labels | None = None,
        *,
        label_names: Labels | None = None,
        names: Names = None,
        without: Names = None,
        sizes: Mapping[_Image, Size | None] | None = None,
        left_out: LeftOut | None = None,
        folders: Sequence[pathlib.Path] = (),
    ) -> None:
        places: dict[_Image, pathlib.Path] = {
            image: _find(folders, str(image)) if folders else pathlib.Path(image) for image in images
        }
        check_unique(source, "images", "file", map(str, places.values()), map(str, places))
        all_images = list(images)
        chosen = [all_images[i] for i in select([*places.values()], names=names, without=without, source=source)]
        if known is None:
            known = sorted({one.name for objects in images.values() for one in objects})
        super().__init__([places[image] for image in chosen], choose_labels(source, label_names, known, known))
        labels = {name: label for label, name in enumerate(self.label_names)}
        self._objects = [[one for one in images[image] if one.name in labels] for image in chosen]
        self._labels, self._sizes = labels, [(sizes or {}).get(image) for image in chosen]
        n_others = sum(map(len, (images[image] for image in chosen))) - sum(map(len, self._objects))
        if n_others:
            self.left_out.counts["objects of other categories"] += n_others
        self.left_out.extend(left_out or LeftOut())
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
