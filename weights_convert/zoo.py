"""torchvision's published files: download, check, convert, keep."""

import http.client
import io
import os
import pathlib
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from weights_convert.api import convert
from weights_convert.errors import CheckpointError
from weights_convert.files import sha256

try:
    import fcntl
except ImportError:  # Windows: two processes at once may both download, each into its own file
    fcntl = None  # type: ignore[assignment]

#: Where torchvision's files are; ``CHAINFPN_ZOO_URL`` names a mirror.
BASE_URL = "https://download.pytorch.org/models/"

#: Rebuilder -> file. The eight hex digits at the end of the name are the start of the file's sha256.
FILES = {
    "alexnet": "alexnet-owt-7be5be79.pth",
    "densenet121": "densenet121-a639ec97.pth",
    "densenet161": "densenet161-8d451a50.pth",
    "densenet169": "densenet169-b2777c0a.pth",
    "densenet201": "densenet201-c1103571.pth",
    "fasterrcnn_mobilenet_v3_large_320_fpn": "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
    "fasterrcnn_mobilenet_v3_large_fpn": "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
    "fasterrcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
    "fasterrcnn_resnet50_fpn_v2": "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth",
    "fcos_resnet50_fpn": "fcos_resnet50_fpn_coco-99b0c9b7.pth",
    "googlenet": "googlenet-1378be20.pth",
    "inception_v3": "inception_v3_google-0cc3c7bd.pth",
    "keypointrcnn_resnet50_fpn": "keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
    "maskrcnn_resnet50_fpn": "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
    "maskrcnn_resnet50_fpn_v2": "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
    "mobilenet_v2": "mobilenet_v2-b0353104.pth",
    "mobilenet_v3_large": "mobilenet_v3_large-8738ca79.pth",
    "mobilenet_v3_small": "mobilenet_v3_small-047dcff4.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "resnet152": "resnet152-394f9c45.pth",
    "resnext50_32x4d": "resnext50_32x4d-7cdf4587.pth",
    "resnext101_32x8d": "resnext101_32x8d-8ba56ff5.pth",
    "resnext101_64x4d": "resnext101_64x4d-173b62eb.pth",
    "retinanet_resnet50_fpn": "retinanet_resnet50_fpn_coco-eeacb38b.pth",
    "retinanet_resnet50_fpn_v2": "retinanet_resnet50_fpn_v2_coco-5905b1c5.pth",
    "squeezenet1_0": "squeezenet1_0-b66bff10.pth",
    "squeezenet1_1": "squeezenet1_1-b8a52dc0.pth",
    "ssd300_vgg16": "ssd300_vgg16_coco-b556d3b4.pth",
    "vgg11": "vgg11-8a719046.pth",
    "vgg11_bn": "vgg11_bn-6002323d.pth",
    "vgg13": "vgg13-19584684.pth",
    "vgg13_bn": "vgg13_bn-abd245e5.pth",
    "vgg16": "vgg16-397923af.pth",
    "vgg16_bn": "vgg16_bn-6c64b313.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "vgg19_bn": "vgg19_bn-c79401a0.pth",
    "wide_resnet50_2": "wide_resnet50_2-95faca4d.pth",
    "wide_resnet101_2": "wide_resnet101_2-32ee1156.pth",
}

#: Files beside those, by builder and word. The features of VGG-16 are without a classifier, for SSD.
OTHERS = {
    "keypointrcnn_resnet50_fpn:coco_legacy": "keypointrcnn_resnet50_fpn_coco-9f466800.pth",
    "mobilenet_v2:imagenet_v2": "mobilenet_v2-7ebf99e0.pth",
    "mobilenet_v3_large:imagenet_v2": "mobilenet_v3_large-5c1a4163.pth",
    "resnet50:imagenet_v2": "resnet50-11ad3fa6.pth",
    "resnet101:imagenet_v2": "resnet101-cd907fc2.pth",
    "resnet152:imagenet_v2": "resnet152-f82ba261.pth",
    "resnext50_32x4d:imagenet_v2": "resnext50_32x4d-1a0047aa.pth",
    "resnext101_32x8d:imagenet_v2": "resnext101_32x8d-110c445d.pth",
    "vgg16:imagenet_features": "vgg16_features-amdegroot-88682ab5.pth",
    "wide_resnet50_2:imagenet_v2": "wide_resnet50_2-9ba9bcbe.pth",
    "wide_resnet101_2:imagenet_v2": "wide_resnet101_2-d733dc28.pth",
}

_PIECE = 1 << 18
_TRIES = 3


class ZooError(CheckpointError, OSError):
    """A published file that cannot be had."""


def home() -> pathlib.Path:
    """Return the folder that files are kept in: ``$CHAINFPN_HOME``, or ``~/.cache/chainfpn``."""
    return pathlib.Path(os.environ.get("CHAINFPN_HOME") or pathlib.Path.home() / ".cache" / "chainfpn")


def fetch(name: str, *, progress: bool = False) -> str:
    """Return the path of torchvision's weights of a builder as an .npz, downloaded and converted if they are not yet.

    A download that was cut goes on where it stopped. Of two processes at once, one downloads and the other waits.

    Args:
        name (str): A key of `FILES` or `OTHERS`.
        progress (bool): Show a bar.

    Returns:
        str: The .npz, in `home`.

    Raises:
        ZooError: if there is no such name, or the file cannot be downloaded, checked or kept; it says what to do.
    """
    file, folder = _file(name), home()
    npz = folder / f"{file.removesuffix('.pth')}.npz"
    if npz.exists():
        return str(npz)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / f"{file}.lock"):
            if not npz.exists():
                _obtain(file, folder, progress)
                convert(folder / file, npz, model=name.partition(":")[0])
                os.unlink(folder / file)
    except OSError as error:
        if isinstance(error, ZooError):
            raise
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
    return any((home() / found).exists() for found in (f"{file.removesuffix('.pth')}.npz", file))


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


def _obtain(file: str, folder: pathlib.Path, progress: bool) -> None:
    """Put the published file into the folder, unless somebody has put it there by hand, and check it."""
    path, part = folder / file, folder / f"{file}.part"
    by_hand = path.exists()
    if not by_hand:
        _download(_url(file), part, path, progress)
    found, wanted = sha256(path if by_hand else part), file.removesuffix(".pth").rpartition("-")[2]
    if not found.startswith(wanted):
        if not by_hand:
            part.unlink()
        remedy = "put there by hand: replace it" if by_hand else "it was removed: try again"
        raise ZooError(f"zoo: {file} has sha256 {found[:8]}..., not {wanted}...; {remedy}")
    if not by_hand:
        os.replace(part, path)


def _file(name: str) -> str:
    files = FILES | OTHERS
    if name not in files:
        raise ZooError(f"zoo: there is no {name!r}; there are {', '.join(files)}")
    return files[name]


def _url(file: str) -> str:
    return os.environ.get("CHAINFPN_ZOO_URL", BASE_URL).rstrip("/") + "/" + file


def _download(url: str, part: pathlib.Path, path: pathlib.Path, progress: bool) -> None:
    for left in reversed(range(_TRIES)):
        if _attempt(url, part, path, progress, last=not left):
            return
    size = part.stat().st_size if part.exists() else 0
    raise ZooError(f"zoo: {url}: the connection was cut {_TRIES} times; try again, it goes on at byte {size}")


def _attempt(url: str, part: pathlib.Path, path: pathlib.Path, progress: bool, *, last: bool) -> bool:
    try:
        return _resume(url, part, progress)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, ZooError):
            raise
        if last or isinstance(error, urllib.error.HTTPError):
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
    from tqdm import tqdm

    with tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=url.rpartition("/")[2]) as bar:
        yield bar.update
