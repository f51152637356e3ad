"""Reader of a table with a box a line."""

import csv
import math
import pathlib

from chainfpn._typing import Labels, PathLike, Size
from chainfpn.datasets._box_table import BoxTable, NamedBox
from chainfpn.datasets._files import DataError, Names, read_text
from chainfpn.datasets._left_out import LeftOut, Omission

#: Columns by the names that they have in one tool or another.
_COLUMNS = {
    "filename": ("filename", "file_name", "image", "image_id", "image_path", "path"),
    "class": ("class", "label", "name", "class_name", "category"),
    **{key: (key, other) for key, other in (("xmin", "x1"), ("ymin", "y1"), ("xmax", "x2"), ("ymax", "y2"))},
}


class CSVDataset(BoxTable):
    """Images with boxes from a CSV file with a box a line.

    Its first line names the columns: ``filename``, ``class``, ``xmin``, ``ymin``, ``xmax``, ``ymax``, and perhaps
    ``width`` and ``height``. Boxes are taken as they are. A line without a name or four numbers is left out, its image
    stays; so does an image whose line has nothing but its name.

    Keys: ``img``, ``bbox``, ``label``.

    Args:
        path (str or os.PathLike): The file.
        images (str or os.PathLike or None): Folder of the images; by default that of the file, or ``images`` in it.
        label_names (sequence of str or None): Only these labels, in this order; by default all, sorted.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if the file cannot be read, or lacks a column.
    """

    def __init__(
        self,
        path: PathLike,
        images: PathLike | None = None,
        *,
        label_names: Labels | None = None,
        names: Names = None,
        without: Names = None,
    ) -> None:
        path = pathlib.Path(path)
        folders = [path.parent, path.parent / "images"] if images is None else [pathlib.Path(images)]
        table: dict[pathlib.Path, list[NamedBox]] = {}
        sizes: dict[pathlib.Path, Size] = {}
        left_out = LeftOut()
        for number, row in enumerate(_rows(path), start=2):
            file = _find(folders, row["filename"])
            objects = table.setdefault(file, [])
            corners = [_number(row[key]) for key in ("ymin", "xmin", "ymax", "xmax")]
            if row["class"] and all(map(math.isfinite, corners)):
                objects.append(NamedBox(row["class"], corners))
            elif any((row["class"], *(row[key] for key in ("ymin", "xmin", "ymax", "xmax")))):
                sentence = f"{path}: line {number} must have a class and four numbers"
                left_out.add(Omission(sentence, "lines that are no object"))
            height, width = _number(row.get("height")), _number(row.get("width"))
            if height >= 1 and width >= 1:
                sizes[file] = int(height), int(width)
        known = sorted({one.name for objects in table.values() for one in objects})
        super().__init__(path, table, known, label_names=label_names, names=names, without=without, sizes=sizes)
        self.left_out.extend(left_out)


def is_box_table(path: pathlib.Path) -> bool:
    """Return whether the first line of a CSV file names the columns that are needed: bool."""
    first = next(csv.reader(read_text(path).splitlines()[:1]), [])
    return _columns(first).keys() == _COLUMNS.keys()


def _columns(heads: list[str]) -> dict[str, str]:
    known = {head.strip().lower(): head for head in heads}
    found = {key: next((known[name] for name in names if name in known), None) for key, names in _COLUMNS.items()}
    return {key: head for key, head in found.items() if head is not None}


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    """Return the lines, by the names of the columns."""
    lines = list(csv.DictReader(read_text(path).splitlines()))
    columns = _columns(list(lines[0]) if lines else [])
    missing = [key for key in _COLUMNS if key not in columns]
    if missing:
        raise DataError(f"{path}: has no column {missing[0]}")
    columns.update({key: key for key in ("width", "height") if key in lines[0]})
    return [{key: (line[head] or "").strip() for key, head in columns.items()} for line in lines]


def _find(folders: list[pathlib.Path], name: str) -> pathlib.Path:
    """Return the path of an image, whether or not it is there."""
    plain = name.replace("\\", "/")
    candidates = [folder / part for folder in folders for part in (plain, pathlib.PurePosixPath(plain).name)]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
