"""Files as a whole: their hash, and putting one in place all at once."""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from weights_convert._typing import PathLike
from weights_convert.errors import CheckpointError

#: What is hashed at once, in a buffer that is used again: little memory, and few waits for the interpreter.
_PIECE = 1 << 20


@contextmanager
def atomic_write(path: PathLike, size: int = 0) -> Iterator[BinaryIO]:
    """Open a new file that appears under its name when it is complete, and not at all if anything goes wrong.

    Behind a symbolic link its target is written; the link stays.

    Args:
        path (str or path): What the file will be called; a file of that name is replaced.
        size (int): About how many bytes there will be. That much of the disk is reserved, where the system can: a full
            one is told at once, and file systems write, and replace, what has its place already in half the time.

    Returns:
        context manager: Gives the file, open for writing in binary.

    Raises:
        CheckpointError: if the folder cannot be written to, the disk is full, or there is something of that name that
            is no regular file.

    Example:
        >>> with atomic_write("figures.bin") as file:  # doctest: +SKIP
        ...     file.write(b"whole or not at all")
    """
    shown, path = os.fspath(path), os.path.realpath(path)
    temporary = f"{path}.{secrets.token_hex(4)}.part"
    try:
        refuse_special(shown, "not a file that can be replaced")
        if os.path.islink(path):
            raise CheckpointError(f"{shown}: is a link that leads to itself")
        with open(temporary, "xb") as file:
            _reserve(file, size)
            yield file
            file.truncate()  # what was reserved and not needed
        os.replace(temporary, path)
    except OSError as error:
        raise CheckpointError(f"{shown}: cannot be written: {error.strerror or error}") from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _reserve(file: BinaryIO, size: int) -> None:
    if size and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # others: a file system that cannot
                raise


def refuse_special(path: PathLike, what: str) -> None:
    """Raise a CheckpointError if there is something at a path that is no regular file, such as a folder or a device."""
    mode = os.stat(path).st_mode if os.path.exists(path) else stat.S_IFREG
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{os.fspath(path)}: is a {kinds.get(stat.S_IFMT(mode), 'device')}, {what}")


def sha256(path: PathLike, *, stopped: Callable[[], bool] = lambda: False) -> str:
    """Compute the SHA-256 of a file.

    Args:
        path (str or path): The file.
        stopped (callable): Asked again and again; the digest is abandoned where it returns true.

    Returns:
        str: 64 hexadecimal digits.

    Raises:
        OSError: if the file cannot be read.
    """
    digest, piece = hashlib.sha256(), memoryview(bytearray(_PIECE))
    with open(path, "rb", buffering=0) as file:
        while not stopped() and (n := file.readinto(piece)):
            digest.update(piece[:n])
    return digest.hexdigest()
