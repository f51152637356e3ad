"""What a command looks at: files, folders, globs, lists of them, addresses, standard input."""

import glob
import io
import os
import pathlib
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from PIL import Image

from chainfpn.cli.errors import CommandError
from chainfpn.images import ImageError, read_image

#: Files of a folder that are looked at; a file that is named itself may be called anything.
IMAGES = frozenset(
    (".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
)
VIDEOS = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"))

#: Bytes of an image from elsewhere, and seconds to wait for them, at most.
_MAX_BYTES, _TIMEOUT = 1 << 28, 20


class Source(NamedTuple):
    """One image or video.

    Attributes:
        name (str): A path, or an address, or ``stdin``.
        content (bytes or None): What was read already.
    """

    name: str
    content: bytes | None = None

    @property
    def is_url(self) -> bool:
        """Whether it is fetched."""
        return self.name.startswith(("http://", "https://"))

    @property
    def file(self) -> pathlib.PurePath:
        """The path, or the name that a file fetched from the address would have."""
        return pathlib.PurePath(urllib.parse.urlsplit(self.name).path if self.is_url else self.name)

    @property
    def is_video(self) -> bool:
        """Whether it has many images."""
        return self.file.suffix.lower() in VIDEOS and not self.is_url

    def read(self) -> Image.Image:
        """Read the image.

        Returns:
            PIL.Image.Image: Upright, in mode RGB.

        Raises:
            ImageError: naming the source and what is wrong with it.
        """
        if self.content is not None:
            return read_image(io.BytesIO(self.content), name=self.name)
        if self.is_url:
            return read_image(io.BytesIO(_download(self.name)), name=self.name)
        return read_image(self.name)


def find_sources(inputs: Sequence[str], *, without: pathlib.Path | None = None) -> tuple[list[Source], list[str]]:
    """Find what the arguments of a command name, before anything else is loaded.

    Args:
        inputs (sequence of str): Images, videos, folders (with the folders inside), globs, ``.txt`` files that list
            such things, one a line, addresses, and ``-``: an image or a list of them on standard input.
        without (pathlib.Path or None): A folder that is passed over within folders and globs: that of the results.

    Returns:
        tuple: The :class:`Source` of each, and a sentence about each input that names none.

    Raises:
        CommandError: if a list cannot be read.
    """
    sources: list[Source] = []
    problems: list[str] = []
    hidden = None if without is None else without.resolve()
    for given in inputs:
        try:
            found = [Source("stdin", content) if content else Source(name) for name, content in _expand(given)]
        except ImageError as error:
            problems.append(str(error))
            continue
        named = len(found) == 1 and found[0].name == given
        sources += found if named else [source for source in found if not _inside(source, hidden)]
    return sources, problems


def _inside(source: Source, folder: pathlib.Path | None) -> bool:
    return folder is not None and not source.is_url and folder in pathlib.Path(source.name).resolve().parents


def _expand(given: str, *, beside: pathlib.Path | None = None) -> Iterator[tuple[str, bytes | None]]:
    """Go through what one argument, or line of a list, names."""
    if given == "-" and beside is None:
        yield from _standard_input()
        return
    path = pathlib.Path(given)
    if Source(given).is_url:
        yield given, None
    elif path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES | VIDEOS)
        if not files:
            raise ImageError(f"{given}: has no images")
        yield from ((str(file), None) for file in files)
    elif path.exists() and path.suffix.lower() == ".txt":
        yield from _lines(_read_text(path), path.parent)
    elif path.exists() or not glob.has_magic(given):
        near = path if path.exists() or beside is None else beside / path
        if not near.exists():
            raise ImageError(f"{given}: there is no such file")
        yield str(near), None
    else:
        matches = sorted(glob.glob(given, recursive=True))
        if not matches:
            raise ImageError(f"{given}: nothing is called so")
        for match in matches:
            yield from _expand(match)


def _lines(text: str, beside: pathlib.Path | None) -> Iterator[tuple[str, bytes | None]]:
    """Go through a list; a line that begins with # is a remark, and a file that is not there may be beside the list."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            try:
                yield from _expand(line.strip(), beside=beside or pathlib.Path())
            except ImageError:
                yield line.strip(), None  # is named when its turn comes, and the rest of the list goes on


def _read_text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror or error})") from error


def _standard_input() -> Iterable[tuple[str, bytes | None]]:
    content = sys.stdin.buffer.read()
    if b"\0" in content[:4096]:
        return [("stdin", content)]
    return _lines(os.fsdecode(content), None)


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            content = response.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ImageError(f"{url}: cannot be fetched ({getattr(error, 'reason', None) or error})") from error
    if len(content) > _MAX_BYTES:
        raise ImageError(f"{url}: is too large")
    return content
