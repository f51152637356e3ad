"""What a program asks of a GPU, by the line that asks: kernel launches, waits of the host, and uploads."""

import collections
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

LAUNCH, SYNC, UPLOAD = "launch", "sync", "upload"


class Event(NamedTuple):
    """Something asked of the GPU.

    Attributes:
        kind (str): ``LAUNCH``, ``SYNC`` or ``UPLOAD``.
        what (str): The function.
        line (str): The line of Chainer, if any, and that of chainfpn.
        nbytes (int): What is copied between host and device.
    """

    kind: str
    what: str
    line: str
    nbytes: int


class Counts:
    """The events of a block of code."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def of(self, kind: str) -> int:
        """Return how many events of a kind there were."""
        return sum(event.kind == kind for event in self.events)

    @property
    def launches(self) -> int:
        """int: Kernels, a memory fill being one; what a CuPy function launches beyond its first is not known."""
        return self.of(LAUNCH)

    @property
    def syncs(self) -> int:
        """int: How often the host waited, mostly for a number from the device."""
        return self.of(SYNC)

    @property
    def uploads(self) -> int:
        """int: Copies from the host."""
        return self.of(UPLOAD)

    @property
    def largest_download(self) -> int:
        """int: Bytes of the largest copy to the host."""
        return max((event.nbytes for event in self.events if event.kind == SYNC), default=0)

    def table(self, kind: str) -> str:
        """Return a line of text for each line of code that caused events of a kind, the most frequent first."""
        lines = collections.Counter((event.line, event.what) for event in self.events if event.kind == kind)
        return "\n".join(f"{n:5} {line} {what}" for (line, what), n in lines.most_common())


_open: list[Counts] = []
#: Called with kind and function ahead of each event; may refuse it, or return that it is part of another one.
watchers: list[Callable[[str, str], bool]] = []


@contextlib.contextmanager
def count() -> Iterator[Counts]:
    """Collect what the block asks of the GPU."""
    counts = Counts()
    _open.append(counts)
    try:
        yield counts
    finally:
        _open.remove(counts)


def note(kind: str, what: str, nbytes: int = 0) -> None:
    """Add an event to all open counts."""
    is_part = [watch(kind, what) for watch in watchers]
    if _open and not any(is_part):
        event = Event(kind, what, _line(), nbytes)
        for counts in _open:
            counts.events.append(event)


def _line():
    """Find the innermost line of chainfpn that is not in its kernels, and the innermost of Chainer if further in."""
    frame, lines = sys._getframe(2), {}
    while frame is not None and "chainfpn" not in lines:
        name = frame.f_globals.get("__name__", "")
        package = name.partition(".")[0]
        if package in ("chainfpn", "chainer") and ".kernels.cuda_" not in name:
            lines.setdefault(package, f"{name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(lines.values()) or "elsewhere"
