"""Files that appear under their names only when they are complete."""

import argparse
import contextlib
import errno
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any

from chainfpn._typing import PathLike
from chainfpn.cli.errors import CommandError


@contextlib.contextmanager
def complete_file(path: PathLike, mode: str = "w") -> Iterator[Any]:
    """Open a file for writing that takes its name when the block ends, and leaves nothing behind if it fails.

    Args:
        path (str or os.PathLike): The file; what is there is replaced.
        mode (str): ``'w'`` (UTF-8) or ``'wb'``.

    Yields:
        file: Open for writing.

    Raises:
        OSError: naming ``path`` if it cannot be written.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Print nothing on stdout while a block runs."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def open_json(arguments: argparse.Namespace) -> Iterator[Any]:
    """Open what ``--json`` names, see :func:`complete_file`; without a file it is printed in place of the rest.

    Args:
        arguments (argparse.Namespace): With ``json`` and ``stdout``.

    Yields:
        file or None: Open for writing; None if there is no ``--json``.

    Raises:
        OSError: naming the file if it cannot be written.
    """
    if arguments.json == "-":
        with silence():
            yield arguments.stdout
    elif arguments.json is None:
        yield None
    else:
        with complete_file(arguments.json) as file:
            yield file


@contextlib.contextmanager
def writing_errors(path: PathLike | None) -> Iterator[None]:
    """Turn what goes wrong with writing in a block into a CommandError.

    Args:
        path (str, os.PathLike or None): The file that is meant if the error names none.

    Raises:
        CommandError: if something cannot be written.
        BrokenPipeError: if whoever reads the output has seen enough.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"{error.filename or path}: cannot be written ({error.strerror or error})") from error
