"""Text files and lists of file names that data sets come with."""

import codecs
import json
import math
import os
import pathlib
from collections.abc import Iterable, Sequence

from chainfpn._typing import Labels, PathLike
from chainfpn.datasets._left_out import Omission

#: Which images of a data set are meant: their names, or a file with a list of them.
Names = Sequence[str] | PathLike | None

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: How the names of images end.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
#: What is larger is no number to a float32.
MAX_NUMBER = 1e30


class DataError(ValueError):
    """A file of a data set that is not there or not what it should be.

    Args:
        message (str): Begins with the name of the file.
        reason (str): What images are called that are left out for it, in the plural.

    Attributes:
        reason (str): As above.
    """

    def __init__(self, message: str, *, reason: str = "images with an annotation that cannot be read") -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def omission(self) -> Omission:
        """The sentence of those who go on without the image: Omission."""
        return Omission(str(self), self.reason)


def read_text(path: PathLike) -> str:
    """Read a text file of a data set, in UTF-8, or in UTF-16 with a mark at its start, as Windows may write it.

    Args:
        path (str or os.PathLike): The file.

    Returns:
        str: Its text.

    Raises:
        DataError: if it cannot be read or is no text.
    """
    try:
        content = pathlib.Path(path).read_bytes()
        return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError:
        raise DataError(f"{path}: is not a text file in UTF-8") from None


def read_lines(path: PathLike) -> list[str]:
    """Return the lines of a text file that are not empty, without the blanks around them; see :func:`read_text`."""
    return _lines_of(read_text(path))


def _lines_of(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_head(path: PathLike, n: int) -> bytes:
    """Return the first n bytes of a file, by which a form is known; none of what is no file or cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(n)
    except OSError:
        return b""


def to_number(text: str | None) -> float:
    """Return the number that a text is: float, nan if it is none, or too large for a float32."""
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if abs(value) < MAX_NUMBER else math.nan


def find_image(folders: Sequence[pathlib.Path], name: str) -> pathlib.Path:
    """Find an image by a name that another system or tool may have written, with backslashes or folders of its own.

    Args:
        folders (sequence of pathlib.Path): Where it may be.
        name (str): The name.

    Returns:
        pathlib.Path: The file; that of its name in the first folder if it is nowhere.
    """
    plain = name.replace("\\", "/")
    parts = dict.fromkeys((name, plain, pathlib.PurePosixPath(plain).name))
    candidates = (folder / part for folder in folders for part in parts)
    return next((path for path in candidates if os.path.isfile(path)), folders[0] / name)


def read_names(path: PathLike) -> list[str]:
    """Read a list of file names: JSON, or one a line.

    Args:
        path (str or os.PathLike): The list.

    Returns:
        list of str: The names.

    Raises:
        DataError: if the file cannot be read or is no such list.
    """
    text = read_text(path)
    if not text.lstrip().startswith(("[", "{")):
        return _lines_of(text)
    try:
        names = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: is not a JSON list ({error})") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: must be a JSON list of file names")
    return names


def select(
    files: Sequence[PathLike], *, names: Names = None, without: Names = None, source: PathLike = "the data"
) -> list[int]:
    """Choose among the files of a data set by their names.

    A name may be given with or without its folder and its suffix.

    Args:
        files (sequence of str or os.PathLike): The files.
        names (sequence of str, str, os.PathLike or None): Only these, or a file with a list of them.
        without (sequence of str, str, os.PathLike or None): All but these, or a file with a list of them.
        source (str or os.PathLike): The data, for messages.

    Returns:
        list of int: Indices of what is left, in the order of ``files``.

    Raises:
        DataError: if a name is of no file, or nothing is left.
    """
    if not files:
        raise DataError(f"{source}: has no image")
    paths = [pathlib.PurePath(file) for file in files]
    known = [{str(path), path.as_posix(), path.name, path.stem} for path in paths]
    chosen = list(range(len(known)))
    for option, listed, keep in (("names", names, True), ("without", without, False)):
        if listed is None:
            continue
        if isinstance(listed, str | os.PathLike):
            option, listed = str(listed), read_names(listed)
        wanted = set(listed)
        missing = sorted(wanted.difference(*known))
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DataError(f"{option}: the data has no image {missing[0]!r}{more}")
        chosen = [i for i in chosen if known[i].isdisjoint(wanted) != keep]
    if not chosen:
        raise DataError("no image is left of the data")
    return chosen


def choose_split(source: PathLike, split: str | None, splits: Sequence[str]) -> str:
    """Return the split that was named, or the only one.

    Args:
        source (str or os.PathLike): The data, for messages.
        split (str or None): What was named.
        splits (sequence of str): All, at least one.

    Returns:
        str: The split.

    Raises:
        DataError: if there is no such split, or one of several must be named.
    """
    if split is None and len(splits) == 1:
        return splits[0]
    if split is None or split not in splits:
        got = "" if split is None else f", got {split}"
        raise DataError(f"{source}: split must be one of {', '.join(splits)}{got}")
    return split


def choose_labels(source: PathLike, label_names: Labels | None, known: Iterable[str], default: Labels) -> Labels:
    """Check the names of labels that were chosen, each of which must be in the data, and once.

    Args:
        source (str or os.PathLike): The data, for messages.
        label_names (sequence of str or None): What was chosen.
        known (iterable of str): What may be chosen.
        default (sequence of str): What is returned if nothing was chosen.

    Returns:
        sequence of str: The names.

    Raises:
        DataError: if one is not in the data, or comes twice, or there is none.
    """
    known = list(known)
    names = list(default if label_names is None else label_names)
    unknown = [name for name in label_names or () if name not in known]
    if unknown:
        raise DataError(f"{source}: has no category {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    check_unique(source, "names of labels", "name", names, names)
    if not names:
        raise DataError(f"{source}: has no category to learn")
    return names


def check_unique(source: PathLike, owners: str, field: str, values: Iterable, shown: Iterable[str]) -> None:
    """Check that no two things have one value, such as an id.

    Args:
        source (str or os.PathLike): The file, for messages.
        owners (str): What has the values, in the plural.
        field (str): What the value is.
        values (iterable): The value of each.
        shown (iterable of str): How each is called.

    Raises:
        DataError: if two have one.
    """
    first: dict = {}
    for value, name in zip(values, shown, strict=True):
        if value in first:
            raise DataError(
                f"{source}: two of its {owners} have one {field}, {value!r} ({first[value]!r} and {name!r})"
            )
        first[value] = name


def require_folders(root: PathLike, *folders: str) -> pathlib.Path:
    """Return the root of a data set that has certain folders; a DataError if it lacks one."""
    for folder in folders:
        if not (pathlib.Path(root) / folder).is_dir():
            raise DataError(f"{root}: has no folder {folder}")
    return pathlib.Path(root)
