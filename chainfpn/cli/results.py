"""What a run over images shows and writes: lines of a table, pictures with names of their own."""

import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from PIL import Image

from chainfpn.cli.colours import colour_of
from chainfpn.cli.output import complete_file
from chainfpn.cli.sources import Source

#: Of pictures, in Pillow's terms: what is drawn keeps its edges.
JPEG_QUALITY = 90
#: Letters of a path that are shown at most.
_MAX_PATH = 40
_COLUMNS = ("score", "y_min", "x_min", "y_max", "x_max")


class Table:
    """Format detections as lines of one table.

    Args:
        files (sequence of str): Every file name that will come.
        names (sequence of str): Every object name that may come.
        coloured (bool): Put a mark in the colour of its boxes before each name.
    """

    def __init__(self, files: Iterable[str], names: Iterable[str], *, coloured: bool = False) -> None:
        self._file_width = max(len("image"), *(len(shortened_path(file)) for file in files))
        self._name_width = max(map(len, ("object", *names)))
        self._coloured = coloured

    def header(self) -> str:
        """Return the first line."""
        return self._line("image", "object", *_COLUMNS)

    def lines(self, record: dict[str, Any]) -> list[str]:
        """Return the lines of one image.

        Args:
            record (dict): ``file``, perhaps ``frame``, and ``detections``, each with ``bbox`` (yxyx), ``label``,
                ``name`` and ``score``.

        Returns:
            list of str: A line per detection, or one that says that there is none.
        """
        lines = []
        file = shortened_path(record["file"]) + (f"#{record['frame']}" if "frame" in record else "")
        for found in record["detections"]:
            numbers = (f"{found['score']:.2f}", *(f"{v:.1f}" for v in found["bbox"]))
            lines.append(self._line(file, found["name"], *numbers, colour=colour_of(found["label"])))
        return lines or [self._line(file, "-").rstrip()]

    def _line(self, file: str, name: str, *numbers: str, colour: tuple[int, ...] | None = None) -> str:
        mark = "\x1b[38;2;{};{};{}m\u25a0\x1b[0m ".format(*colour) if self._coloured and colour else ""
        name = f"{name:{self._name_width}}" if mark or not self._coloured else f"  {name:{self._name_width}}"
        return f"{file:{self._file_width}}  {mark}{name}" + "".join(f"{n:>8}" for n in numbers)


def shortened_path(path: str) -> str:
    """Return a path as it is shown: from the current folder or from home, and without its beginning if it is long."""
    for base, short in ((pathlib.Path.cwd(), ""), (pathlib.Path.home(), f"~{os.sep}")):
        if path.startswith(f"{base}{os.sep}"):
            path = short + path[len(f"{base}{os.sep}") :]
    return path if len(path) <= _MAX_PATH else f"...{path[3 - _MAX_PATH :]}"


def picture_paths(folder: pathlib.Path, sources: Sequence[Source]) -> list[pathlib.Path]:
    """Choose a file for each picture so that none overwrites an image or another picture of the run.

    For ``photo.jpg`` it is ``photo_detected.jpg``, then ``photo_detected_2.jpg``. JPEG stays JPEG; every other image
    becomes PNG, and every video MP4.

    Args:
        folder (pathlib.Path): Where the pictures go.
        sources (sequence of Source): Every image of the run.

    Returns:
        list of pathlib.Path: The files.
    """
    taken: set[str] = {_key(pathlib.Path(source.name)) for source in sources if not source.is_url}
    counts: Counter[str] = Counter()
    chosen = []
    for source in sources:
        image = source.file
        suffix = image.suffix if image.suffix.lower() in (".jpg", ".jpeg") else ".mp4" if source.is_video else ".png"
        path = folder / f"{image.stem or 'image'}_detected{suffix}"
        first = _key(path)
        while (found := _key(path)) in taken:
            counts[first] += 1
            path = folder / f"{image.stem or 'image'}_detected_{counts[first] + 1}{suffix}"
        chosen.append(path)
        taken.add(found)
    return chosen


def save_picture(picture: Image.Image, path: pathlib.Path, *, quality: int = JPEG_QUALITY) -> None:
    """Write a picture, as PNG or JPEG by its name; an OSError if it cannot be written."""
    options: dict[str, Any] = {"format": "PNG"} if path.suffix == ".png" else {"format": "JPEG", "quality": quality}
    with complete_file(path, "wb") as file:
        picture.save(file, **options)


def _key(path: pathlib.Path) -> str:
    """Return what is equal for two paths to one file, also where letters' case does not matter."""
    return str(path.resolve()).casefold()
