"""Reader of YOLO's text files."""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from chainfpn._typing import Array, Labels, PathLike, Size
from chainfpn.datasets._box_table import BoxTable, NamedBox
from chainfpn.datasets._files import IMAGE_SUFFIXES, DataError, Names, read_text
from chainfpn.datasets._left_out import LeftOut, Omission
from chainfpn.datasets._orientation import turned_size

#: Files with a name of a label a line.
_NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "names.txt")


class YOLODataset(BoxTable):
    """Images with boxes from a text file each.

    A line is a label and the centre, width and height in shares of the image, or a label and the corners of an outline,
    whose box is taken. The text of ``images/a.jpg`` is ``labels/a.txt``, or else it lies beside the image; an image
    without one is an image without objects. Shares are of the upright image. A line that cannot be read is left out.

    Keys: ``img``, ``bbox``, ``label``.

    Args:
        source (str or os.PathLike): The yaml, or a folder with images, their texts and ``classes.txt``.
        split (str or None): ``train``, ``val`` or ``test`` of a yaml; not needed where there is one only.
        label_names (sequence of str or None): Only these labels, in this order; by default all, in the order of theirs.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if a file or folder is not there or not what it should be, or PyYAML is needed and not installed.

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
        if path.is_dir():
            known, images = _names_beside(path), sorted(_images_in(path))
        else:
            known, images = _read_yaml(path, split)
        left_out = LeftOut()
        table = {image: _read_objects(image, known, left_out) for image in images}
        super().__init__(path, table, known, label_names=label_names, names=names, without=without)
        self.left_out.extend(left_out)

    def _frame(self, i: int) -> tuple[Size, int]:
        return turned_size(*self._header(i)), 1

    def _get_annotations(self, i: int) -> tuple[Array, Array]:
        """Return ``bbox``, in pixels, and ``label``."""
        bbox, label = super()._get_annotations(i)
        return bbox * np.array(self._frame(i)[0] * 2, dtype=np.float32), label


def yaml_splits(path: pathlib.Path) -> dict[str, list[str]]:
    """Return the splits of a yaml, and the paths of each: dict, empty if it is not YOLO's."""
    content = _load_yaml(path)
    entries = {name: content.get(name) for name in ("train", "val", "valid", "test")} if _is_yolo(content) else {}
    return {
        name: [str(value) for value in (entry if isinstance(entry, list) else [entry])]
        for name, entry in entries.items()
        if entry
    }


def _is_yolo(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("names"), dict | list)


def _load_yaml(path: pathlib.Path) -> Any:
    try:
        import yaml
    except ImportError:
        raise DataError(f"{path}: reading it needs PyYAML; pip install 'chainfpn[yolo]'") from None
    try:
        return yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise DataError(f"{path}: is not YAML ({' '.join(str(error).split())})") from None


def _read_yaml(path: pathlib.Path, split: str | None) -> tuple[list[str], list[pathlib.Path]]:
    """Return the names of the labels and the images of a split."""
    content, splits = _load_yaml(path), yaml_splits(path)
    if not splits:
        raise DataError(f"{path}: must be a YOLO yaml with names and train, val or test")
    if split is None and len(splits) == 1:
        (split,) = splits
    if split not in splits:
        raise DataError(f"{path}: split must be one of {', '.join(splits)}, got {split}")
    names = content["names"]
    known = [str(names[key]) for key in sorted(names, key=int)] if isinstance(names, dict) else list(map(str, names))
    places = [_place(path, content.get("path"), entry) for entry in splits[split]]
    return known, sorted({image for place in places for image in _images_of(place)})


def _place(path: pathlib.Path, root: Any, entry: str) -> pathlib.Path:
    """Find what an entry of a yaml names: from its ``path``, from its own folder, or as Roboflow writes it."""
    folder = path.parent
    roots = [folder / str(root), folder] if root else [folder]
    plain = entry.replace("\\", "/")
    for candidate in (*(base / plain for base in roots), folder / plain.removeprefix("../")):
        if candidate.exists():
            return candidate
    raise DataError(f"{path}: {entry} is neither in {roots[0]} nor beside the file")


def _images_of(place: pathlib.Path) -> Iterable[pathlib.Path]:
    """Return the images of a folder, or those that a list names, from its folder or the one above."""
    if place.is_dir():
        return _images_in(place)
    lines = [line.strip().replace("\\", "/") for line in read_text(place).splitlines() if line.strip()]
    found = [next((p for p in (place.parent / line, place.parent.parent / line) if p.exists()), None) for line in lines]
    if None in found:
        raise DataError(f"{place}: there is no image {lines[found.index(None)]}")
    return [image for image in found if image is not None]


def _images_in(folder: pathlib.Path) -> Iterable[pathlib.Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _names_beside(folder: pathlib.Path) -> list[str]:
    for path in (folder / part / name for part in ("", "labels") for name in _NAME_FILES):
        if path.exists():
            return [line.strip() for line in read_text(path).splitlines() if line.strip()]
    raise DataError(f"{folder}: has no {' or '.join(_NAME_FILES)} with the names of the labels")


def _text_of(image: pathlib.Path) -> pathlib.Path:
    """Return the text file of an image."""
    parts = list(image.with_suffix(".txt").parts)
    places = [k for k, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
        if pathlib.Path(*parts).exists():
            return pathlib.Path(*parts)
    return image.with_suffix(".txt")


def _read_objects(image: pathlib.Path, known: Labels, left_out: LeftOut) -> list[NamedBox]:
    """Return the objects of an image, their boxes in shares of it."""
    path = _text_of(image)
    objects: list[NamedBox] = []
    for number, line in enumerate(read_text(path).splitlines() if path.exists() else (), start=1):
        if not line.strip():
            continue
        try:
            label, *values = map(float, line.split())
            bb, name = _box(values), known[int(label)] if label >= 0 and label == int(label) else None
        except (ValueError, IndexError, OverflowError):
            bb = name = None
        if bb is None or name is None or not np.isfinite(bb).all():
            rule = f"must be a label of 0 to {len(known) - 1} and four shares of the image or an outline"
            left_out.add(
                Omission(f"{path}: line {number} {rule}, got {line.strip()[:60]!r}", "lines that are no object")
            )
        else:
            objects.append(NamedBox(name, bb))
    return objects


def _box(values: list[float]) -> list[float] | None:
    """Return the box of the numbers of a line, yxyx; a fifth is a score."""
    if len(values) in (4, 5):
        x, y, width, height = values[:4]
        return [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
    if len(values) < 6 or len(values) % 2:
        return None
    return [min(values[1::2]), min(values[::2]), max(values[1::2]), max(values[::2])]
