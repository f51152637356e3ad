"""What commands print: remarks, warnings, tables, progress, colours."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from tqdm import tqdm

from chainfpn._typing import Report

#: Warnings of one reason that are printed; the rest is counted.
_MAX_WARNINGS = 20


def remark(message: str) -> None:
    """Print a line on stderr, above a progress bar."""
    tqdm.write(message, file=sys.stderr)


def remarks(quiet: bool) -> Report:
    """Return what takes a command's remarks: :func:`remark`, or nothing if it shall be quiet."""
    return (lambda message: None) if quiet else remark


class WarnOnce:
    """Print each warning on stderr the first time it comes, up to some of one reason.

    Attributes:
        warnings (set of str): The warnings so far.
        counts (Counter): How many of them there are of each reason.
    """

    def __init__(self) -> None:
        self.warnings: set[str] = set()
        self.counts: Counter[str] = Counter()

    def __call__(self, message: str) -> None:
        """Print a warning, unless it was printed before."""
        if message in self.warnings:
            return
        self.warnings.add(message)
        reason = getattr(message, "reason", message)
        self.counts[reason] += 1
        if self.counts[reason] <= _MAX_WARNINGS:
            remark(message)
        elif self.counts[reason] == _MAX_WARNINGS + 1:
            remark(f"more {reason} are only counted")


def reasons(counts: dict[str, dict[str, int]]) -> str:
    """Return counts by reason as lines: one for each beginning of a line that has a reason."""
    lines = [(begin, ", ".join(f"{n} {reason}" for reason, n in found.items())) for begin, found in counts.items()]
    return "\n".join(f"{begin}: {text}" for begin, text in lines if text)


def table_lines(rows: Sequence[Sequence[str]], *, n_left: int = 1) -> list[str]:
    """Return rows of cells as lines: so many columns flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = "<" * n_left + ">" * (len(widths) - n_left)
    lines = (zip(row, sides, widths, strict=True) for row in rows)
    return ["  ".join(f"{cell:{side}{width}}" for cell, side, width in line).rstrip() for line in lines]


def progress(items: Iterable[Any] | None, unit: str, *, total: int | None = None, quiet: bool = False) -> Any:
    """Return a progress bar with rate and time left, on stderr if that is a terminal and ``quiet`` does not hide it.

    It is iterated over, or is a context manager, or both. Without items it is moved by ``update``; ``total`` is how
    many there are if the items do not say it, None if that is not known.
    """
    hidden = quiet or not sys.stderr.isatty()
    options = {"unit": unit, "leave": False, "dynamic_ncols": True, "smoothing": 0.1}
    return tqdm(items, total=total, file=sys.stderr, disable=hidden, **options)


def has_colours(stream: TextIO) -> bool:
    """Return whether a stream is a terminal whose user wants colours: see https://no-color.org."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextlib.contextmanager
def compile_remark(report: Report) -> Iterator[None]:
    """Report once if Numba compiles operators while a block runs, which it does the first time."""
    try:
        from numba.core import event
    except ImportError:
        yield
        return

    class Listener(event.Listener):
        started = False

        def on_start(self, event: Any) -> None:
            if not self.started:
                self.started = True
                report("Numba compiles operators for the CPU, each the first time only: 3 to 10 seconds")

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield
