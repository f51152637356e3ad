"""The yaml of YOLO's data: names of the labels, and where the images of a split are."""

import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from chainfpn.datasets._files import IMAGE_SUFFIXES, DataError, check_unique, choose_split, read_lines, read_text

#: What an empty entry may be.
_NOTHING = ("", "~", "null", "Null", "NULL", None)


class YOLOSplit(NamedTuple):
    """A split: name of each label by its number, values of keypoints behind a box, folders, and all images."""

    names: dict[int, str]
    n_point_values: int
    folders: list[pathlib.Path]
    images: list[pathlib.Path]


def yaml_splits(path: pathlib.Path) -> dict[str, list[str]]:
    """Return the splits of a yaml, and the paths of each: dict, empty if it is not YOLO's."""
    content = _load(path)
    if not isinstance(content, dict) or not isinstance(content.get("names"), dict | list):
        return {}
    entries = {name: content.get(name) for name in ("train", "val", "valid", "test")}
    return {
        name: [str(value) for value in (entry if isinstance(entry, list) else [entry])]
        for name, entry in entries.items()
        if entry not in _NOTHING
    }


def read_yaml(path: pathlib.Path, split: str | None) -> YOLOSplit:
    """Read one split of a yaml.

    Args:
        path (pathlib.Path): The yaml.
        split (str or None): Which; not needed where there is one only.

    Returns:
        YOLOSplit: What it says.

    Raises:
        DataError: if it is not YOLO's, contradicts itself, or names what is not there.
    """
    content, splits = _load(path), yaml_splits(path)
    if not splits:
        raise DataError(f"{path}: must be a YOLO yaml with names and train, val or test")
    names = _names(path, content)
    entries = splits[choose_split(path, split, tuple(splits))]
    places = [_place(path, content.get("path"), entry) for entry in entries]
    images = sorted({image for place in places for image in _images_of(place)})
    return YOLOSplit(names, _n_point_values(path, content), [place for place in places if place.is_dir()], images)


def images_in(folder: pathlib.Path) -> Iterable[pathlib.Path]:
    """Return the images of a folder and those in it: iterable of pathlib.Path."""
    return (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _load(path: pathlib.Path) -> Any:
    """Return the content with every value as text: a class may be called ``no`` or ``3``."""
    try:
        import yaml
    except ImportError:
        raise DataError(f"{path}: reading it needs PyYAML; pip install 'chainfpn[yolo]'") from None
    try:
        return yaml.load(read_text(path), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise DataError(f"{path}: is not YAML ({' '.join(str(error).split())})") from None


def _names(path: pathlib.Path, content: dict) -> dict[int, str]:
    """Return the names of the labels by their numbers, which a mapping may begin with 1 or leave out."""
    entries, n = content["names"], content.get("nc")
    pairs = list(entries.items() if isinstance(entries, dict) else enumerate(entries))
    if not all(str(key).isdecimal() and isinstance(name, str) and name.strip() for key, name in pairs):
        raise DataError(f"{path}: names must be texts, in a list or by their numbers, got {entries}")
    names = {int(key): name.strip() for key, name in pairs}
    if n not in (*_NOTHING, str(len(names)), str(max(names, default=0) + 1)):
        raise DataError(f"{path}: nc must be the number of names, {len(names)}, got {n}")
    return dict(sorted(names.items()))


def _n_point_values(path: pathlib.Path, content: dict) -> int:
    """Return how many numbers of keypoints a line has behind its box."""
    shape = content.get("kpt_shape")
    if shape in _NOTHING:
        return 0
    if not isinstance(shape, list) or len(shape) != 2 or not all(str(value).isdecimal() for value in shape):
        raise DataError(f"{path}: kpt_shape must be a number of keypoints and one of values of each, got {shape}")
    return int(shape[0]) * int(shape[1])


def _place(path: pathlib.Path, root: Any, entry: str) -> pathlib.Path:
    """Find what an entry of a yaml names: from its ``path``, from its own folder, or as Roboflow writes it."""
    bases = [path.parent] if root in _NOTHING else [path.parent / pathlib.Path(str(root)).expanduser(), path.parent]
    plain = entry.replace("\\", "/")
    is_foreign = plain.startswith(("/", "../")) or plain[1:2] == ":"
    found = _find(bases, plain, by_end=is_foreign)
    if found is None:
        raise DataError(f"{path}: {entry} is neither in {bases[0]} nor beside the file")
    return found


def _images_of(place: pathlib.Path) -> Iterable[pathlib.Path]:
    """Return the images of a folder, or those that a list names, from its folder or the one above."""
    if place.is_dir():
        return images_in(place)
    lines = list(dict.fromkeys(line.replace("\\", "/").removeprefix("./") for line in read_lines(place)))
    folders = [place.parent, place.parent.parent]
    found = [_find(folders, line, by_end=True, is_there=os.path.isfile) for line in lines]
    if None in found:
        raise DataError(f"{place}: there is no image {lines[found.index(None)]}")
    check_unique(place, "lines", "image", map(str, found), lines)
    return [image for image in found if image is not None]


def _find(
    bases: list[pathlib.Path], name: str, *, by_end: bool, is_there: Callable[[pathlib.Path], bool] = os.path.exists
) -> pathlib.Path | None:
    """Find a path in one of some folders; one of another machine by what it ends with, the longest end first."""
    parts = pathlib.PurePosixPath(name).parts
    ends = [name, *("/".join(parts[k:]) for k in range(1, len(parts)) if by_end)]
    candidates = (base / end for end in ends for base in bases)
    return next((candidate for candidate in candidates if is_there(candidate)), None)
