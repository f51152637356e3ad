"""Work beside the detector's: what is read ahead of it, and what is written behind it."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_END: Any = object()


def ahead(items: Iterable[_Item], n: int) -> Iterator[_Item]:
    """Iterate in a thread, which is some items ahead.

    Args:
        items (iterable): Their iterator runs in one other thread.
        n (int): How many items wait at most.

    Yields:
        object: The items, in order; what their iterator raises is raised in its place.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, "ahead") as pool:
        waiting = collections.deque(pool.submit(next, iterator, _END) for _ in range(n))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(pool.submit(next, iterator, _END))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)


class Behind:
    """Do jobs in a thread, one after another, in order.

    A context manager: its end waits for the jobs. After the first that fails none is done any more, and its error is
    raised by the next :meth:`submit`, or at the end.

    Args:
        n (int): How many jobs wait at most.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._pool = ThreadPoolExecutor(1, "behind")
        self._waiting: collections.deque[Future] = collections.deque()
        self._error: BaseException | None = None

    def __enter__(self) -> "Behind":
        return self

    def submit(self, job: Callable[..., object], *args: Any) -> None:
        """Have a job done when its turn comes; wait where too many do."""
        while len(self._waiting) > self._n:
            self._waiting.popleft().result()
        if self._error is not None:
            raise self._error
        self._waiting.append(self._pool.submit(self._do, job, args))

    def _do(self, job, args):
        if self._error is None:
            try:
                job(*args)
            except BaseException as error:
                self._error = error

    def __exit__(self, kind: Any, *error: object) -> None:
        self._pool.shutdown()
        if kind is None and self._error is not None:
            raise self._error
