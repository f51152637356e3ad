"""The folder of a training: what is written there, and that one training at a time does so."""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import socket
from collections.abc import Iterator
from typing import IO

from chainfpn.cli.errors import CommandError

try:
    import fcntl
except ImportError:  # on Windows, where two trainings in one folder are not noticed
    fcntl = None  # type: ignore[assignment]

#: Pictures of curves that a training writes.
CURVES = ("losses.png", "ap.png", "pr.png")
#: All that it writes, but for the pictures in ``samples`` and the snapshots of other processes and steps.
FILES = (
    *("train.json", "held_out.txt", "log", "steps.jsonl", *CURVES, "best.npz", "last.npz", "snapshot.npz"),
    "report.html",
)
#: Names that files and folders have while they are written; a process that was killed leaves them.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}|.+\.[0-9a-f]{8}\.part|log[a-z0-9_]{8}")
_LOCK = "lock"


@contextlib.contextmanager
def own_folder(out: pathlib.Path, *, empty: bool) -> Iterator[None]:
    """Own the folder of a training while a block runs, and remove what a process that was killed left half-written.

    A folder that is made for it and stays empty is removed at the end.

    Args:
        out (pathlib.Path): The folder, which is made.
        empty (bool): Whether the files of an earlier training are removed, too.

    Raises:
        CommandError: if another training runs in the folder, or a file could not be written.
        OSError: if the folder cannot be written to.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (out / name).is_dir():
            raise CommandError(f"{out / name}: is a folder and cannot be written")
    with _lock(out) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            _clean(out, empty)
            yield
        finally:
            (out / _LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it has files
                for folder in made:
                    folder.rmdir()


@contextlib.contextmanager
def _lock(out: pathlib.Path) -> Iterator[IO[str]]:
    """Open and lock the file that says who trains here; the lock ends with the process, whatever ends that."""
    while True:
        with open(out / _LOCK, "a+", encoding="utf-8") as file:
            if fcntl is not None:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    if error.errno in (errno.EACCES, errno.EAGAIN):
                        file.seek(0)
                        raise CommandError(f"{out}: another training runs in it, {file.read()}") from None
            # the file may be gone, for the training that had it has just ended
            if (out / _LOCK).exists() and os.path.samestat(os.fstat(file.fileno()), os.stat(out / _LOCK)):
                yield file
                return


def _clean(out: pathlib.Path, empty: bool) -> None:
    """Remove what is half-written, or everything that a training writes."""
    samples = out / "samples"
    for path in [path for folder in (out, samples) if folder.is_dir() for path in folder.iterdir()]:
        is_written = path.name in FILES or path.match("snapshot*.npz*")
        if _TEMPORARY.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif empty and (path.suffix == ".jpg" if path.parent == samples else is_written):
            path.unlink()
