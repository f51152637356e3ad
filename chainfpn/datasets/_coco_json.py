"""The JSON of COCO's instances, checked."""

import json
import math
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from chainfpn._typing import Size
from chainfpn.datasets._files import DataError, check_unique
from chainfpn.datasets._json import is_number, read_json

#: Lists of the JSON, and what each of their entries must have.
_LISTS = {"images": ("id",), "categories": ("id", "name"), "annotations": ("image_id",)}

#: A text that is a number, too.
_NUMBER = re.compile(r"0|[1-9][0-9]{,17}")
#: No image is as large; drawing a polygon takes memory by its length.
_MAX_COORDINATE = 1e6


class ImageInfo(NamedTuple):
    """An image: its id as the JSON has it, the same to compare, file, and height and width if they are given."""

    raw_id: Any
    id: int | str
    file_name: str
    size: Size | None


class Instances(NamedTuple):
    """The file, ids of the categories by name, images, all annotations, and names of keypoints by category.

    Categories and images are in the order of their ids.
    """

    path: pathlib.Path
    category_ids: dict[str, int | str]
    images: list[ImageInfo]
    annotations: list[dict]
    keypoint_names: dict[int | str, tuple[str, ...]]


def read_instances(path: pathlib.Path) -> Instances:
    """Read and check the JSON; annotations are checked one by one later.

    Args:
        path (pathlib.Path): The file.

    Returns:
        Instances: Its content.

    Raises:
        DataError: if it is not COCO's, or ids and names are not unique.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
        raise DataError(f"{path}: must be COCO's instances: a JSON object with images, annotations and categories")
    content.setdefault("annotations", [])  # those of a test are not published
    for key, required in _LISTS.items():
        _check_entries(path, key, content[key], required)
    images = sorted((_image(path, entry) for entry in content["images"]), key=lambda image: _order(image.id))
    categories = [(_known_id(path, entry), _name(path, entry)) for entry in content["categories"]]
    categories.sort(key=lambda pair: _order(pair[0]))
    _check_unique(path, "images", "file name", [(image.id, image.file_name) for image in images])
    _check_unique(path, "categories", "name", categories)
    keypoint_names = {_known_id(path, entry): _keypoint_names(path, entry) for entry in content["categories"]}
    return Instances(path, {name: key for key, name in categories}, images, content["annotations"], keypoint_names)


def plain_id(value: Any) -> int | str | None:
    """Return an id so that it can be compared with others: ``7``, ``7.0`` and ``"7"`` are one; None if it is none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return int(value) if _NUMBER.fullmatch(value) else value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def sound_outline(outline: Any) -> Any:
    """Return what pycocotools can draw of an outline: its polygons of three points or more, or its run lengths.

    None if there is nothing.
    """
    if isinstance(outline, dict):
        return outline if {"size", "counts"} <= outline.keys() else None
    if not isinstance(outline, list):
        return None
    return [polygon for polygon in outline if _is_polygon(polygon)] or None


def _is_polygon(polygon: Any) -> bool:
    """Return whether a JSON value is a list of three points or more that are not beyond all images."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    return all(is_number(value) and abs(value) < _MAX_COORDINATE for value in polygon)


def _check_entries(path: pathlib.Path, key: str, entries: Any, required: Sequence[str]) -> None:
    """Check that a list of the JSON is one of objects that have certain entries."""
    if not isinstance(entries, list):
        raise DataError(f"{path}: {key} must be a list, got {json.dumps(entries)[:80]}")
    for entry in entries:
        if not isinstance(entry, dict):
            raise DataError(f"{path}: its entries must be JSON objects, got {json.dumps(entry)[:80]} in {key}")
        missing = [name for name in required if name not in entry]
        if missing:
            raise DataError(f"{path}: an entry lacks {missing[0]!r}")


def _check_unique(path: pathlib.Path, owners: str, field: str, pairs: list[tuple]) -> None:
    """Check ids and names."""
    ids, names = [key for key, _ in pairs], [name for _, name in pairs]
    check_unique(path, owners, "id", ids, names)
    check_unique(path, owners, field, names, ids)


def _name(path: pathlib.Path, entry: dict) -> str:
    """Return the name of a category, which may be a number."""
    name = entry["name"]
    if not isinstance(name, str | int | float) or not str(name).strip():
        raise DataError(f"{path}: name of a category must be a text, got {name!r}")
    return str(name).strip()


def _keypoint_names(path: pathlib.Path, entry: dict) -> tuple[str, ...]:
    """Return the names of the keypoints of a category, which may have none."""
    names = entry.get("keypoints") or []
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise DataError(f"{path}: keypoints of category {entry['name']!r} must be a list of names, got {names!r}")
    texts = tuple(map(str, names))
    check_unique(path, f"keypoints of category {entry['name']!r}", "name", texts, texts)
    return texts


def _image(path: pathlib.Path, entry: dict) -> ImageInfo:
    address = entry.get("coco_url")  # which LVIS has in the place of a name
    if "file_name" not in entry and isinstance(address, str):
        entry = {**entry, "file_name": "/".join(address.split("/")[-2:])}
    if "file_name" not in entry:
        raise DataError(f"{path}: an entry lacks 'file_name'")
    file_name = entry["file_name"]
    if not isinstance(file_name, str) or not file_name:
        raise DataError(f"{path}: file_name of an image must be a text, got {file_name!r}")
    height, width = (_side(path, entry, key) for key in ("height", "width"))
    size = (height, width) if height and width else None
    return ImageInfo(entry["id"], _known_id(path, entry), file_name, size)


def _known_id(path: pathlib.Path, entry: dict) -> int | str:
    """Return the id of an image or category."""
    key = plain_id(entry["id"])
    if key is None:
        raise DataError(f"{path}: id must be a whole number or a text, got {entry['id']!r}")
    return key


def _side(path: pathlib.Path, entry: dict, key: str) -> int:
    """Return the height or width of an image, 0 if it is not given."""
    value = entry.get(key)
    try:
        number = float(value or 0)
        if number < 0 or not math.isfinite(number) or number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{path}: {key} of {entry['file_name']} must be a number of pixels, got {value!r}") from None
    return int(number)


def _order(key: int | str) -> tuple:
    """Return what ids are sorted by: numbers first."""
    return isinstance(key, str), key
