"""Reader of a table with a box a line."""

import csv
import io
import math
import pathlib
from collections.abc import Iterator

from chainfpn._typing import Labels, PathLike
from chainfpn.datasets._box_table import BoxTable, NamedBox, Table, annotated_size
from chainfpn.datasets._files import DataError, Names, read_text, to_number

_CORNERS = ("ymin", "xmin", "ymax", "xmax")
#: Columns by the names that they have in one tool or another.
_COLUMNS = {
    "filename": ("filename", "file_name", "image", "image_id", "image_path", "path"),
    "class": ("class", "label", "name", "class_name", "category"),
    **{key: (key, other) for key, other in (("xmin", "x1"), ("ymin", "y1"), ("xmax", "x2"), ("ymax", "y2"))},
}
_SIZE = {key: (key,) for key in ("height", "width")}


class CSVDataset(BoxTable):
    """Images with boxes from a CSV file with a box a line.

    Its first line names the columns: ``filename``, ``class``, ``xmin``, ``ymin``, ``xmax``, ``ymax``, and perhaps
    ``width`` and ``height``; between them are commas, semicolons or tabs. Boxes are taken as they are. A line without a
    name or four numbers is left out, its image stays; so does an image whose line has nothing but its name.

    Keys: ``img``, ``bbox``, ``label``.

    Args:
        path (str or os.PathLike): The file.
        images (str or os.PathLike or None): Folder of the images; by default that of the file, or ``images`` in it.
        label_names (sequence of str or None): Only these labels, in this order; by default all, sorted.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.

    Raises:
        DataError: if the file cannot be read, or lacks a column, or two names are of one image.
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
        super().__init__(path, _read_table(path), folders, label_names=label_names, names=names, without=without)


def is_box_table(path: pathlib.Path) -> bool:
    """Return whether the first line of a CSV file names the columns that are needed: bool."""
    try:
        heads = next(_read(path, read_text(path).partition("\n")[0]), [])
    except DataError:
        return False
    return _columns(heads).keys() >= _COLUMNS.keys()


def _read_table(path: pathlib.Path) -> Table:
    table = Table()
    for number, row in _rows(path):
        name = row["filename"]
        if not name:
            table.left_out.note(f"{path}: line {number} must have the name of an image", "lines without an image")
            continue
        objects = table.objects.setdefault(name, [])
        bb = [_number(row[key]) for key in _CORNERS]
        if row["class"] and not any(map(math.isnan, bb)):
            objects.append(NamedBox(row["class"], bb))
        elif any((row["class"], *(row[key] for key in _CORNERS))):
            sentence = f"{path}: line {number} must have a class and four numbers"
            table.left_out.note(sentence, "lines that are no object")
        size = annotated_size(*(_number(row.get(key, "")) for key in _SIZE))
        table.sizes[name] = size or table.sizes.get(name)
    return table


def _read(path: pathlib.Path, text: str) -> Iterator[list[str]]:
    """Yield the cells of each line; what parts them is what the first line has most of."""
    first = text.partition("\n")[0]
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t|", key=first.count))
    except csv.Error as error:
        raise DataError(f"{path}: is not CSV ({error})") from None


def _columns(heads: list[str]) -> dict[str, int]:
    """Return the places of the columns that are known."""
    places = {head.strip().lower(): k for k, head in reversed([*enumerate(heads)])}
    found = {
        key: next((places[name] for name in names if name in places), None) for key, names in (_COLUMNS | _SIZE).items()
    }
    return {key: k for key, k in found.items() if k is not None}


def _rows(path: pathlib.Path) -> list[tuple[int, dict[str, str]]]:
    """Return the lines, by the names of the columns, and their numbers."""
    heads, *lines = [*_read(path, read_text(path))] or [[]]
    columns = _columns(heads)
    missing = [key for key in _COLUMNS if key not in columns]
    if missing:
        raise DataError(f"{path}: has no column {missing[0]}")
    cells = ((number, line + [""] * len(heads)) for number, line in enumerate(lines, start=2) if any(line))
    return [(number, {key: line[k].strip() for key, k in columns.items()}) for number, line in cells]


def _number(text: str) -> float:
    """Return a number, in which a comma may stand for the point, nan if it is none."""
    return to_number(text.replace(",", "."))
