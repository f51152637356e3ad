"""Files that appear under their names only when they are complete."""

import argparse
import contextlib
import errno
import json
import os
import pathlib
import secrets
from collections.abc import Callable, Iterator
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


@contextlib.contextmanager
def json_output(arguments: argparse.Namespace) -> Iterator[Callable[[Any], None]]:
    """Write a value to what ``--json`` names, see :func:`complete_file`; without a file it is all that is printed.

    Args:
        arguments (argparse.Namespace): With ``json`` and ``stdout``.

    Yields:
        callable: Takes the value; does nothing if there is no ``--json``.

    Raises:
        CommandError: if the file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing_errors(arguments.json))
        file = None
        if arguments.json == "-":
            stack.enter_context(silence())
            file = arguments.stdout
        elif arguments.json is not None:
            file = stack.enter_context(complete_file(arguments.json))

        def write(value: Any) -> None:
            if file is not None:
                with writing_errors(arguments.json):
                    file.write(json.dumps(value, indent=1) + "\n")

        yield write
