"""Options of a training from a file."""

import argparse
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from chainfpn.cli.errors import CommandError, UsageError


class _Parser(argparse.ArgumentParser):
    """A parser whose error names the file."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"--config {self.prog}: {message.removeprefix('argument ')}")


def read_config(path: pathlib.Path, declare: Callable[[argparse.ArgumentParser], None]) -> dict[str, Any]:
    """Read options: those of a ``train.json``, or a JSON object of them alone.

    Args:
        path (pathlib.Path): The file.
        declare (callable): Declares the options on a parser, by which values are checked as on the command line.

    Returns:
        dict: Option to value.

    Raises:
        CommandError: if the file is no such thing.
        UsageError: if there is no such option, or a value is not in its range.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise CommandError(f"{path}: is not JSON ({error})") from None
    options = content.get("settings", content) if isinstance(content, dict) else None
    if not isinstance(options, dict):
        raise CommandError(f"{path}: must be a JSON object of options, or a train.json")
    parser = _Parser(prog=str(path), add_help=False, allow_abbrev=False)
    declare(parser)
    found = parser.parse_args([word for key, value in options.items() for word in _words(key, value)])
    return {key: value for key, value in vars(found).items() if key in options}


def _words(key: str, value: Any) -> Iterator[str]:
    """Return an option as it is written on a command line."""
    flag = "--" + key.replace("_", "-")
    if key in ("data", "set", "loss"):
        yield from (f"{flag}={entry}" for entry in (value if isinstance(value, list) else [value]))
    elif value is True:
        yield flag
    elif value is not None and value is not False:
        yield f"{flag}={','.join(map(str, value)) if isinstance(value, list) else value}"
