"""Files as a whole: their hash, and putting one in place all at once."""

import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from weights_convert._typing import PathLike
from weights_convert.errors import CheckpointError

_PIECE = 4 << 20


@contextmanager
def atomic_write(path: PathLike) -> Iterator[BinaryIO]:
    """Open a new file that appears under its name when it is complete, and not at all if anything goes wrong.

    Args:
        path (str or path): What the file will be called; a file of that name is replaced.

    Returns:
        context manager: Gives the file, open for writing in binary.

    Raises:
        CheckpointError: if the folder cannot be written to, or the disk is full.

    Example:
        >>> with atomic_write("figures.bin") as file:  # doctest: +SKIP
        ...     file.write(b"whole or not at all")
    """
    path = os.fspath(path)
    temporary = f"{path}.{secrets.token_hex(4)}.part"
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def sha256(path: PathLike) -> str:
    """Compute the SHA-256 of a file.

    Args:
        path (str or path): The file.

    Returns:
        str: 64 hexadecimal digits.

    Raises:
        OSError: if the file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def few(names: Sequence[str], most: int = 5) -> str:
    """Join names for a sentence.

    Args:
        names (sequence of str): The names.
        most (int): How many are named; dots stand for the others.

    Returns:
        str: The names, commas between them.

    Example:
        >>> few(["cat", "dog", "cow"], most=2)
        'cat, dog ...'
    """
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")
