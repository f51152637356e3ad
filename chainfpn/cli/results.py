"""Where the detections of a run go: lines of a table, JSON, names for pictures."""

import json
import pathlib

_COLUMNS = ("score", "y_min", "x_min", "y_max", "x_max")


class Table:
    """Format detections as lines of one table.

    Args:
        files (sequence of str): Every file name that will come.
        names (sequence of str): Every object name that may come.
    """

    def __init__(self, files, names):
        self._file_width = max(len("image"), *map(len, files))
        self._name_width = max(map(len, ("object", *names)))

    def header(self):
        """Return the first line."""
        return self._line("image", "object", *_COLUMNS)

    def lines(self, record):
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

    def _line(self, file, name, *numbers):
        return f"{file:{self._file_width}}  {name:{self._name_width}}" + "".join(f"{n:>8}" for n in numbers)


class JsonList:
    """Write a JSON list record by record, so that any number of images fits in memory.

    A context manager, which writes the brackets.

    Args:
        file (file): Open for writing text.
    """

    def __init__(self, file):
        self._file = file
        self._separator = "\n "

    def __enter__(self):
        self._file.write("[")
        return self

    def add(self, record):
        """Append the record of one image.

        Args:
            record (dict): ``file``, ``width``, ``height`` and ``detections``, each with ``bbox`` (yxyx), ``label``,
                ``name`` and ``score``.
        """
        self._file.write(self._separator + json.dumps(record))
        self._separator = ",\n "

    def __exit__(self, kind, error, traceback):
        self._file.write("\n]\n")


class PictureNames:
    """Choose a file name for each picture so that none overwrites an image or another picture of the run.

    Args:
        folder (pathlib.Path): Where the pictures go.
        images (sequence of pathlib.Path): Every image of the run.
    """

    def __init__(self, folder, images):
        self._folder = pathlib.Path(folder)
        self._taken = {_key(path) for path in images}

    def choose(self, image):
        """Return the path of an image's picture: ``photo_detected.jpg`` for ``photo.jpg``, then ``_detected_2``.

        JPEG stays JPEG; every other format becomes PNG.

        Args:
            image (pathlib.Path): The image.

        Returns:
            pathlib.Path: The picture's.
        """
        suffix = image.suffix if image.suffix.lower() in (".jpg", ".jpeg") else ".png"
        number = 1
        while True:
            path = self._folder / f"{image.stem}_detected{'' if number == 1 else f'_{number}'}{suffix}"
            if _key(path) not in self._taken:
                self._taken.add(_key(path))
                return path
            number += 1


def _key(path):
    """Return what is equal for two paths to one file, also where letters' case does not matter."""
    return str(path.resolve()).casefold()
