"""Options that commands share, and the types of their values."""

import argparse
import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

from chainfpn._typing import PathLike
from chainfpn.cli.errors import UsageError

DEVICE = "where to compute (default: %(default)s)"


def add_weights(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Declare ``--weights`` and ``--model``."""
    text = ".npz, .pth ..., or a name of chainfpn models"
    parser.add_argument("--weights", required=required, metavar="FILE", help=text)
    parser.add_argument("--model", metavar="NAME", help="the builder, if the file does not name it")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Declare ``--device``."""
    parser.add_argument("--device", type=device, default="cpu", metavar="cpu|cuda:N", help=DEVICE)


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Declare ``--engine`` and ``--threads``."""
    text = "chainer, onnx or auto (default: %(default)s)"
    parser.add_argument("--engine", choices=("auto", "chainer", "onnx"), default="auto", metavar="NAME", help=text)
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


def check_json(path: str | None, inputs: Iterable[PathLike | None], what: str) -> None:
    """Raise a UsageError if ``--json`` would replace a file that is read, whether or not it is there yet."""
    read = [pathlib.Path(given).resolve() for given in inputs if given is not None]
    if path not in (None, "-") and pathlib.Path(path).resolve() in read:
        raise UsageError(f"--json must not name {what}, got {path}")


def device(text: str) -> str:
    """Check that a text is ``cpu``, ``cuda`` or ``cuda:N``."""
    kind, _, number = text.partition(":")
    if text not in ("cpu", "cuda") and not (kind == "cuda" and number.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be cpu or cuda:N, got {text}")
    return text


def fraction(text: str) -> float:
    """Parse a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be in 0 to 1, got {text}")
    return value


def decay(text: str) -> float:
    """Parse a number from 0 up to, but not, 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be >= 0 and < 1, got {text}")
    return value


def whole(least: int, most: int = 2**31) -> Callable[[str], int]:
    """Return the type of whole numbers from ``least`` to ``most``."""

    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be {f'>= {least}' if value < least else f'<= {most}'}, got {text}")
        return value

    return number


def real(rule: str) -> Callable[[str], float]:
    """Return the type of numbers that obey a rule: ``'>= 0'``, or ``'> 0'``, which takes ``inf``, too."""

    def number(text: str) -> float:
        value = float(text)
        if not (value > 0 if rule == "> 0" else 0 <= value < math.inf):
            raise argparse.ArgumentTypeError(f"must be {rule}, got {text}")
        return value

    return number


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
