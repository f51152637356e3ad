"""torchvision's published files: find or download, check, convert, keep."""

import http.client
import io
import os
import pathlib
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chainfpn.models.registry import URL
from weights_convert import torch_cache
from weights_convert.api import convert
from weights_convert.errors import CheckpointError
from weights_convert.files import sha256
from weights_convert.known_models import earlier_files, published_files

try:
    import fcntl
except ImportError:  # Windows: two processes at once may both download, each into its own file
    fcntl = None  # type: ignore[assignment]

#: Builder, or builder and word -> file. The eight hex digits at the end of the name are the start of the file's sha256.
FILES = published_files()
#: File -> the one that torchvision published before it with the same weights.
EARLIER = earlier_files()

_PIECE = 1 << 18
_TRIES = 3


class ZooError(CheckpointError, OSError):
    """A published file that cannot be had."""


def home() -> pathlib.Path:
    """Return the folder that files are kept in: ``$CHAINFPN_HOME``, or ``~/.cache/chainfpn``."""
    return pathlib.Path(os.environ.get("CHAINFPN_HOME") or pathlib.Path.home() / ".cache" / "chainfpn")


def _print(message: str) -> None:
    print(message, file=sys.stderr)


def fetch(name: str, *, progress: bool | None = None, report: Callable[[str], Any] = _print) -> str:
    """Return the path of torchvision's weights of a builder as an .npz, converted and perhaps downloaded first.

    What PyTorch has downloaded already is taken from its cache, if its hash is right. A download that was cut goes on
    where it stopped. Of two processes at once, one downloads and the other waits.

    Args:
        name (str): A key of `FILES`.
        progress (bool or None): Show a bar; by default if stderr is a terminal.
        report (callable): Takes a sentence that says where the file was taken from; stderr by default.

    Returns:
        str: The .npz, in `home`.

    Raises:
        ZooError: if there is no such name, or the file cannot be downloaded, checked or kept; it says what to do.
    """
    file, folder = _file(name), home()
    if (npz := _kept(file)) is not None:
        return str(npz)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / f"{file}.lock"):
            shown = sys.stderr is not None and sys.stderr.isatty() if progress is None else progress
            npz = _kept(file) or _convert(name, file, folder, shown, report)
    except ZooError:
        raise
    except OSError as error:
        raise ZooError(f"zoo: {folder}: cannot be written: {error.strerror or error}") from error
    return str(npz)


def is_cached(name: str) -> bool:
    """Return whether `fetch` can do without the network.

    Args:
        name (str): A name that `fetch` knows.

    Returns:
        bool: Whether the file is in `home`, converted or not.
    """
    file = _file(name)
    is_there = _kept(file) is not None or (home() / file).exists()
    return is_there or torch_cache.find(_names(file), check=False) is not None


def _names(file: str) -> list[str]:
    return [file, *([EARLIER[file]] if file in EARLIER else [])]


def _kept(file: str) -> pathlib.Path | None:
    """Return the .npz of a file that is in `home` already."""
    paths = (home() / f"{known.removesuffix('.pth')}.npz" for known in _names(file))
    return next(filter(pathlib.Path.exists, paths), None)


def _convert(name: str, file: str, folder: pathlib.Path, progress: bool, report: Callable[[str], Any]) -> pathlib.Path:
    """Convert the file, put there by hand, from PyTorch's cache or else downloaded, and return the .npz."""
    path, digits = folder / file, file.removesuffix(".pth").rpartition("-")[2]
    cached, origin = None, f"taken from {file}"
    if path.exists():
        _check_hash(path, file, digits, "put there by hand: replace it")
    elif cached := torch_cache.find(_names(file)):
        origin = f"taken from {cached}, whose hash is right"
    else:
        download(_url(file), path, digits, progress=progress)
        origin = f"downloaded from {_url(file)}"
    source = cached or path
    npz = folder / f"{source.stem}.npz"
    convert(source, npz, model=name.partition(":")[0])
    if cached is None:
        path.unlink()
    report(f"{name}: {origin}; kept as {npz}")
    return npz


def remote_size(name: str, *, timeout: float = 1.5) -> int | None:
    """Ask for the size of a published file, and do not wait long for an answer.

    Args:
        name (str): A name that `fetch` knows.
        timeout (float): Seconds.

    Returns:
        int or None: Bytes; None if the file cannot be reached.
    """
    answers: list[int | None] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(_url(_file(name)), method="HEAD")
            with urllib.request.urlopen(request, timeout=timeout) as response:
                answers.append(int(response.headers.get("Content-Length", 0)))
        except (OSError, http.client.HTTPException, ValueError):
            answers.append(None)

    thread = threading.Thread(target=ask, daemon=True)  # looking up the name of a host heeds no timeout
    thread.start()
    thread.join(timeout)
    return answers[0] if answers else None


@contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
    with open(path, "a") as f:
        if fcntl is not None:
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


def download(url: str, path: pathlib.Path, wanted: str = "", *, progress: bool = False) -> None:
    """Download a file, which appears when it is whole and its hash is right; a download that was cut goes on.

    Args:
        url (str): Its address.
        path (pathlib.Path): Where to put it.
        wanted (str): How its SHA-256 begins, in hexadecimal digits; any may where none is published.
        progress (bool): Show a bar.

    Raises:
        ZooError: if it cannot be downloaded, or is another.
    """
    part = path.with_name(f"{path.name}.part")
    _download(url, part, path, progress)
    try:
        _check_hash(part, path.name, wanted, "it was removed: try again")
    except ZooError:
        part.unlink()
        raise
    os.replace(part, path)


def _check_hash(path: pathlib.Path, file: str, wanted: str, remedy: str) -> None:
    if not (found := sha256(path)).startswith(wanted):
        raise ZooError(f"zoo: {file} has sha256 {found[:8]}..., not {wanted}...; {remedy}")


def _file(name: str) -> str:
    if name not in FILES:
        raise ZooError(f"zoo: there is no {name!r}; there are {', '.join(sorted(FILES))}")
    return FILES[name]


def _url(file: str) -> str:
    """Return the address of a file, in the mirror that ``CHAINFPN_ZOO_URL`` names, if it does."""
    return os.environ.get("CHAINFPN_ZOO_URL", URL).rstrip("/") + "/" + file


def _download(url: str, part: pathlib.Path, path: pathlib.Path, progress: bool) -> None:
    for left in reversed(range(_TRIES)):
        if _attempt(url, part, path, progress, last=not left):
            return
    size = part.stat().st_size if part.exists() else 0
    raise ZooError(f"zoo: {url}: the connection was cut {_TRIES} times; try again, it goes on at byte {size}")


def _attempt(url: str, part: pathlib.Path, path: pathlib.Path, progress: bool, *, last: bool) -> bool:
    try:
        return _resume(url, part, progress)
    except ZooError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:  # a ValueError is of what is no address
        if last or isinstance(error, urllib.error.HTTPError | ValueError):
            reason = getattr(error, "reason", None) or error
            remedy = f"try again, or put the file there by hand: {path}"
            raise ZooError(f"zoo: {url} cannot be downloaded ({reason}); {remedy}") from error
        return False


def _resume(url: str, part: pathlib.Path, progress: bool) -> bool:
    """Download what is missing of a file; return whether all of it is there."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # all of it is there, or another file's: the hash tells
            return True
        raise
    with response:
        have = have if response.status == 206 else 0
        total = have + int(response.headers.get("Content-Length", 0))
        with io.FileIO(part, "ab" if have else "wb") as f, _bar(progress, url, have, total) as advance:
            while piece := response.read(_PIECE):
                _write(f, piece, part)
                have += len(piece)
                advance(len(piece))
    return have >= total


def _write(f: io.FileIO, piece: bytes, part: pathlib.Path) -> None:
    try:
        f.write(piece)
    except OSError as error:
        part.unlink()
        raise ZooError(f"zoo: {part.parent}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _bar(progress: bool, url: str, have: int, total: int) -> Iterator[Callable[[int], Any]]:
    if not progress:
        yield lambda n: None
        return
    begin, start = time.monotonic(), have
    file = url.rpartition("/")[2]

    def advance(n: int) -> None:
        nonlocal have
        have += n
        rate = (have - start) / max(time.monotonic() - begin, 1e-3)
        left = max(total - have, 0) / max(rate, 1)
        amount = f"{have / 1e6:.1f} of {total / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s"
        print(f"\r{file}: {amount}, {left // 60:.0f}:{left % 60:02.0f} left ", end="", file=sys.stderr, flush=True)

    try:
        yield advance
    finally:
        print(file=sys.stderr)
