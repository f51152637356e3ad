"""What a command shows beside its results: remarks, progress, colours."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from tqdm import tqdm

from chainfpn._typing import Report


def remark(message: str) -> None:
    """Print a line on stderr, above a progress bar."""
    tqdm.write(message, file=sys.stderr)


def remarks(quiet: bool) -> Report:
    """Return what takes a command's remarks: :func:`remark`, or nothing if it shall be quiet."""
    return _drop if quiet else remark


def _drop(message: str) -> None:
    pass


def progress(total: int | None, unit: str, *, quiet: bool = False) -> Any:
    """Return a progress bar with rate and time left, on stderr if that is a terminal.

    Args:
        total (int or None): How many there are; None if that is not known.
        unit (str): What they are.
        quiet (bool): Show none.

    Returns:
        tqdm.tqdm: To be used as a context manager.
    """
    hidden = quiet or not sys.stderr.isatty()
    return tqdm(total=total, unit=unit, file=sys.stderr, disable=hidden, leave=False, dynamic_ncols=True, smoothing=0.1)


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
                report("Numba compiles the operators for the CPU, the first time only: 3 to 10 seconds")

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield
