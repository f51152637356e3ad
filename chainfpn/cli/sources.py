"""What a command looks at: files, folders, globs, lists of them, addresses, standard input."""

import glob
import http.client
import io
import itertools
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
        try:
            return pathlib.PurePath(urllib.parse.urlsplit(self.name).path if self.is_url else self.name)
        except ValueError:
            return pathlib.PurePath()  # no address, which is said when it is fetched

    @property
    def is_video(self) -> bool:
        """Whether it has many images."""
        return self.file.suffix.lower() in VIDEOS and not self.is_url

    def read(self) -> Image.Image:
        """Read the image: upright, in mode RGB; an ImageError names the source and what is wrong with it."""
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
            expanded = _standard_input() if given == "-" else _expand(given)
            found = [Source(*one) for one in expanded]
        except ImageError as error:
            problems.append(str(error))
            continue
        named = len(found) == 1 and found[0].name == given
        chosen = found if named else [source for source in found if not _inside(source, hidden)]
        if not chosen:
            problems.append(f"{given}: has no images{' but those in --out' if found else ''}")
        sources += chosen
    return sources, problems


def _inside(source: Source, folder: pathlib.Path | None) -> bool:
    return folder is not None and not source.is_url and folder in pathlib.Path(source.name).resolve().parents


def _expand(given: str, lists: tuple[pathlib.Path, ...] = ()) -> Iterator[tuple[str, bytes | None]]:
    """Go through what one argument, or a line of a list in other lists, names."""
    path = pathlib.Path(given)
    is_there = os.path.exists(given)
    if Source(given).is_url:
        yield given, None
    elif os.path.isdir(given):
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES | VIDEOS)
        if not files:
            raise ImageError(f"{given}: has no images")
        yield from ((str(file), None) for file in files)
    elif is_there and path.suffix.lower() == ".txt" and path.resolve() not in [one.resolve() for one in lists]:
        for line in _lines(_read_text(path)):
            yield from _expand_or_name(line, (*lists, path))
    elif is_there or not glob.has_magic(given):
        near = path if is_there or not lists else lists[-1].parent / path
        if not os.path.exists(near):
            raise ImageError(f"{given}: there is no such file")
        yield str(near), None
    else:
        matches = sorted(glob.glob(given, recursive=True))
        if not matches:
            raise ImageError(f"{given}: nothing is called so")
        for match in matches:
            yield from _expand_or_name(match, lists)


def _expand_or_name(given: str, lists: tuple[pathlib.Path, ...] = ()) -> Iterator[tuple[str, bytes | None]]:
    """Do the same, but keep what names nothing: it is reported when its turn comes, and the rest goes on."""
    try:
        yield from _expand(given, lists)
    except ImageError:
        yield given, None


def _lines(text: str) -> list[str]:
    """Return the lines of a list, without empty ones and remarks, which begin with #."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _read_text(path: pathlib.Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror or error})") from error
    if "\0" in text:
        raise CommandError(f"{path}: is not a list of images, which is a text")
    return text


def _standard_input() -> Iterable[tuple[str, bytes | None]]:
    content = sys.stdin.buffer.read()
    if b"\0" in content[:4096]:
        return [("stdin", content)]
    return itertools.chain.from_iterable(map(_expand_or_name, _lines(os.fsdecode(content))))


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            content = response.read(_MAX_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ImageError(f"{url}: cannot be fetched ({getattr(error, 'reason', None) or error})") from error
    if len(content) > _MAX_BYTES:
        raise ImageError(f"{url}: is too large")
    return content
