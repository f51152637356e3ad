"""Reader of YOLO's text files."""

import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from chainfpn._typing import Array, Labels, PathLike, Size
from chainfpn.datasets._box_table import BoxTable, NamedBox, Table
from chainfpn.datasets._files import DataError, Names, check_unique, read_text
from chainfpn.datasets._orientation import turned_size
from chainfpn.datasets._yolo_yaml import YOLOSplit, images_in, read_yaml

#: Files with a name of a label a line, and folders that they are in.
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels")
_MORE_NAME_FILES = ("labels.txt", "names.txt")
_NAME_FOLDERS = ("", "labels/", "labels/*/")
#: What is beyond is no share of an image, but a pixel.
_MIN_SHARE, _MAX_SHARE = -0.1, 1.1


class YOLODataset(BoxTable):
    """Images with boxes from a text file each.

    A line is a label and the centre, width and height in shares of the image, or a label and the corners of an outline,
    whose box is taken; keypoints behind a box are passed over. The text of ``images/a.jpg`` is ``labels/a.txt``, or
    else it lies beside the image; an image without one is an image without objects. Shares are of the upright image. A
    line that cannot be read is left out, and so is a text without an image.

    Keys: ``img``, ``bbox``, ``label``.

    Args:
        source (str or os.PathLike): The yaml, or a folder with images, their texts and ``classes.txt``.
        split (str or None): ``train``, ``val`` or ``test`` of a yaml; not needed where there is one only.
        label_names (sequence of str or None): Only these labels, in this order; by default all, in the order of theirs.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if a file or folder is not there or not what it should be, two images have one text, or PyYAML is
            needed and not installed.

    Source:
        Ultralytics' documentation of detection data sets.
    """

    def __init__(
        self,
        source: PathLike,
        split: str | None = None,
        *,
        label_names: Labels | None = None,
        names: Names = None,
        without: Names = None,
    ) -> None:
        path = pathlib.Path(source)
        found = YOLOSplit(_names_beside(path), 0, [path], sorted(images_in(path))) if path.is_dir() else None
        found = found or read_yaml(path, split)
        texts = {image: text for image in found.images if os.path.exists(text := _text_of(image))}
        check_unique(path, "images", "text", map(str, texts.values()), [image.name for image in texts])
        table = Table()
        for image in found.images:
            objects = _read_objects(texts.get(image), found, table)
            if objects is not None:
                table.objects[str(image)] = objects
        for text in sorted(_texts(found.folders) - {*texts.values()}):
            table.left_out.note(f"{text}: has no image", "annotations without an image")
        known, here = list(found.names.values()), [pathlib.Path()]
        super().__init__(path, table, here, known, label_names=label_names, names=names, without=without)

    def _frame(self, i: int) -> tuple[Size, int]:
        return turned_size(*self._header(i)), 1

    def _get_annotations(self, i: int) -> tuple[Array, Array]:
        """Return ``bbox``, in pixels, and ``label``."""
        bbox, label = super()._get_annotations(i)
        return bbox * np.array(self._frame(i)[0] * 2, dtype=np.float32), label


def has_names(folder: pathlib.Path) -> bool:
    """Return whether a folder has one of :data:`NAME_FILES`: bool."""
    return any(_name_files(folder, NAME_FILES))


def _name_files(folder: pathlib.Path, names: Iterable[str]) -> Iterator[pathlib.Path]:
    return (path for part in _NAME_FOLDERS for name in names for path in sorted(folder.glob(f"{part}{name}")))


def _names_beside(folder: pathlib.Path) -> dict[int, str]:
    """Return the names of the labels by their numbers, those of the lines."""
    files = (*NAME_FILES, *_MORE_NAME_FILES)
    for path in _name_files(folder, files):
        lines = [line.strip() for line in read_text(path).rstrip().splitlines()]
        if not all(lines):
            raise DataError(f"{path}: line {lines.index('') + 1} must be the name of a label, and is empty")
        return dict(enumerate(lines))
    raise DataError(f"{folder}: has no {' or '.join(files)} with the names of the labels")


def _text_of(image: pathlib.Path) -> pathlib.Path:
    """Return the text file of an image."""
    text = image.with_suffix(".txt")
    others = (_beside_images(text), text.parent.parent / "labels" / text.name)
    return next((other for other in others if other is not None and os.path.exists(other)), text)


def _beside_images(path: pathlib.Path) -> pathlib.Path | None:
    """Return what a path of a folder ``images`` is in a folder ``labels``, None if it is of none."""
    parts = list(path.parts)
    places = [k for k, part in enumerate(parts) if part in ("images", "Images")]
    if not places:
        return None
    parts[places[-1]] = "Labels" if parts[places[-1]].istitle() else "labels"
    return pathlib.Path(*parts)


def _texts(folders: Iterable[pathlib.Path]) -> set[pathlib.Path]:
    """Return the texts in the folders of labels beside some folders of images."""
    beside = {_beside_images(folder) or _beside_images(folder / "images") for folder in folders}
    texts = {text for folder in beside if folder is not None for text in folder.rglob("*.txt")}
    return {text for text in texts if text.name not in (*NAME_FILES, *_MORE_NAME_FILES)}


def _read_objects(path: pathlib.Path | None, split: YOLOSplit, table: Table) -> list[NamedBox] | None:
    """Return the objects of a text, their boxes in shares of the image; None if it cannot be read."""
    objects: list[NamedBox] = []
    try:
        lines = [] if path is None else read_text(path).splitlines()
    except DataError as error:
        table.left_out.add(error.omission)
        return None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            label, *values = map(float, line.split())
            bb, name = _box(values, split.n_point_values), split.names[int(label)] if label == int(label) else None
        except (ValueError, KeyError, OverflowError):
            bb = name = None
        if bb is None or name is None:
            labels = f"{min(split.names, default=0)} to {max(split.names, default=0)}"
            rule = f"must be a label of {labels} and four shares of the image or an outline"
            sentence = f"{path}: line {number} {rule}, got {line.strip()[:60]!r}"
            table.left_out.note(sentence, "lines that are no object")
        else:
            objects.append(NamedBox(name, bb))
    return objects


def _box(values: list[float], n_point_values: int) -> list[float] | None:
    """Return the box of the numbers of a line, yxyx; a number behind four is a score."""
    if n_point_values and len(values) in (4 + n_point_values, 5 + n_point_values):
        values = values[:4]
    if not all(_MIN_SHARE <= value <= _MAX_SHARE for value in values):
        return None
    if len(values) in (4, 5):
        x, y, width, height = values[:4]
        return [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
    if len(values) < 6 or len(values) % 2:
        return None
    return [min(values[1::2]), min(values[::2]), max(values[1::2]), max(values[::2])]
