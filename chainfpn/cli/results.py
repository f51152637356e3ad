"""What a run over images writes: lines of a table, JSON, pictures with names of their own."""

import itertools
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from PIL import Image

from chainfpn.cli.output import complete_file

#: Of pictures, in Pillow's terms: what is drawn keeps its edges.
JPEG_QUALITY = 90
_COLUMNS = ("score", "y_min", "x_min", "y_max", "x_max")


class Table:
    """Format detections as lines of one table.

    Args:
        files (sequence of str): Every file name that will come.
        names (sequence of str): Every object name that may come.
    """

    def __init__(self, files: Iterable[str], names: Iterable[str]) -> None:
        self._file_width = max(len("image"), *map(len, files))
        self._name_width = max(map(len, ("object", *names)))

    def header(self) -> str:
        """Return the first line."""
        return self._line("image", "object", *_COLUMNS)

    def lines(self, record: dict[str, Any]) -> list[str]:
        """Return the lines of one image.

        Args:
            record (dict): As :class:`JsonList` takes it.

        Returns:
            list of str: A line per detection, or one that says that there is none.
        """
        lines = []
        for found in record["detections"]:
            numbers = (f"{found['score']:.2f}", *(f"{v:.1f}" for v in found["bbox"]))
            lines.append(self._line(record["file"], found["name"], *numbers))
        return lines or [self._line(record["file"], "-").rstrip()]

    def _line(self, file: str, name: str, *numbers: str) -> str:
        return f"{file:{self._file_width}}  {name:{self._name_width}}" + "".join(f"{n:>8}" for n in numbers)


class JsonList:
    """Write a JSON list record by record, so that any number of images fits in memory.

    A context manager, which writes the brackets.

    Args:
        file (file): Open for writing text.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._separator = "\n "

    def __enter__(self) -> "JsonList":
        self._file.write("[")
        return self

    def add(self, record: dict[str, Any]) -> None:
        """Append the record of one image.

        Args:
            record (dict): ``file``, ``width``, ``height`` and ``detections``, each with ``bbox`` (yxyx), ``label``,
                ``name`` and ``score``.
        """
        self._file.write(self._separator + json.dumps(record))
        self._separator = ",\n "

    def __exit__(self, *error: object) -> None:
        self._file.write("\n]\n")


def picture_paths(folder: pathlib.Path, images: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Choose a file for each picture so that none overwrites an image or another picture of the run.

    For ``photo.jpg`` it is ``photo_detected.jpg``, then ``photo_detected_2.jpg``. JPEG stays JPEG; every other format
    becomes PNG.

    Args:
        folder (pathlib.Path): Where the pictures go.
        images (sequence of pathlib.Path): Every image of the run.

    Returns:
        list of pathlib.Path: The files.
    """
    taken, chosen = set(map(_key, images)), []
    for image in images:
        suffix = image.suffix if image.suffix.lower() in (".jpg", ".jpeg") else ".png"
        endings = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
        paths = (folder / f"{image.stem}_detected{ending}{suffix}" for ending in endings)
        chosen.append(next(path for path in paths if _key(path) not in taken))
        taken.add(_key(chosen[-1]))
    return chosen


def save_picture(picture: Image.Image, path: pathlib.Path, *, quality: int = JPEG_QUALITY) -> None:
    """Write a picture, as PNG or JPEG by its name.

    Args:
        picture (PIL.Image.Image): The picture.
        path (pathlib.Path): The file.
        quality (int): Of JPEG.

    Raises:
        OSError: if it cannot be written.
    """
    options: dict[str, Any] = {"format": "PNG"} if path.suffix == ".png" else {"format": "JPEG", "quality": quality}
    with complete_file(path, "wb") as file:
        picture.save(file, **options)


def _key(path: pathlib.Path) -> str:
    """Return what is equal for two paths to one file, also where letters' case does not matter."""
    return str(path.resolve()).casefold()
