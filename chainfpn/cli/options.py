"""Options that commands share, and the types of their values."""

import argparse
import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

from chainfpn._typing import PathLike
from chainfpn.cli.errors import UsageError

#: What numbers may have to be, and whether one is so; what is > 0 may be ``inf``.
_RULES: dict[str, Callable[[float], bool]] = {
    "in 0 to 1": lambda value: 0 <= value <= 1,
    ">= 0 and < 1": lambda value: 0 <= value < 1,
    ">= 0": lambda value: 0 <= value < math.inf,
    "> 0": lambda value: value > 0,
}


def add_weights(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Declare ``--weights`` and ``--model``."""
    text = ".npz, .pth ..., or a name of chainfpn models"
    parser.add_argument("--weights", required=required, metavar="FILE", help=text)
    parser.add_argument("--model", metavar="NAME", help="the builder, if the file does not name it")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Declare ``--device``."""
    text = "where to compute (default: %(default)s)"
    parser.add_argument("--device", type=device, default="cpu", metavar="cpu|cuda:N", help=text)


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Declare ``--engine`` and ``--threads``."""
    text = "chainer, cuda-graph, onnx or auto (default: %(default)s)"
    parser.add_argument(
        "--engine", choices=("auto", "chainer", "cuda-graph", "onnx"), default="auto", metavar="NAME", help=text
    )
    text = "threads (default: OMP_NUM_THREADS or all)"
    parser.add_argument("--threads", type=whole(1), metavar="N", help=text)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Declare ``--quiet``."""
    parser.add_argument("--quiet", action="store_true", help="print errors and warnings only")


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """Declare ``--out``."""
    text = "folder of what is written (default: %(default)s)"
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(default), metavar="DIR", help=text)


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare ``--json``."""
    text = f"the {what} as JSON, to FILE or printed"
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help=text)


def check_output(option: str, path: PathLike | None, inputs: Iterable[PathLike | None], what: str) -> None:
    """Raise a UsageError if an option would replace one of some files, whether or not it is there yet."""
    read = [pathlib.Path(given).resolve() for given in inputs if given is not None]
    if path not in (None, "-") and pathlib.Path(path).resolve() in read:
        raise UsageError(f"{option} must not name {what}, got {path}")


def device(text: str) -> str:
    """Check that a text is ``cpu``, ``cuda`` or ``cuda:N``."""
    kind, _, number = text.partition(":")
    if text not in ("cpu", "cuda") and not (kind == "cuda" and number.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be cpu or cuda:N, got {text}")
    return text


def whole(least: int, most: int = 2**31) -> Callable[[str], int]:
    """Return the type of whole numbers from ``least`` to ``most``."""

    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be {f'>= {least}' if value < least else f'<= {most}'}, got {text}")
        return value

    return number


def real(rule: str, name: str = "number") -> Callable[[str], float]:
    """Return the type of numbers that obey one of the rules above; the name is for what is no number at all."""

    def number(text: str) -> float:
        """Parse a number that obeys the rule."""
        value = float(text)
        if not _RULES[rule](value):
            raise argparse.ArgumentTypeError(f"must be {rule}, got {text}")
        return value

    number.__name__ = name
    return number


fraction, decay = real("in 0 to 1", "fraction"), real(">= 0 and < 1", "decay")


def every(number: Callable[[str], float]) -> Callable[[str], float | str]:
    """Return the type of intervals: numbers of a type, of epochs, say, or ``'500steps'``, which stay texts."""
    return lambda text: f"{whole(1)(text[:-5])}steps" if text.endswith("steps") else number(text)


def interval(value: float | str) -> tuple[Any, str | None]:
    """Return an interval's number and, where it is one of steps, ``'steps'``; see :func:`every`."""
    return (int(value.removesuffix("steps")), "steps") if isinstance(value, str) else (value, None)


def numbers(text: str) -> list[int]:
    """Parse whole numbers >= 1 with commas."""
    return [whole(1)(number) for number in text.split(",")]


def amounts(text: str) -> list[float]:
    """Parse four numbers from 0 to 1 with commas."""
    values = [float(number) for number in text.split(",")]
    if len(values) != 4 or not all(0 <= value <= 1 for value in values):
        raise argparse.ArgumentTypeError(f"must be four numbers in 0 to 1, got {text}")
    return values


def words(text: str) -> list[str]:
    """Parse words with commas."""
    return [word.strip() for word in text.split(",")]


def pair(text: str) -> str:
    """Check that a text is KEY=VALUE."""
    if not text.partition("=")[0] or "=" not in text:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text}")
    return text
