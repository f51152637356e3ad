"""Work on many things at a time, whose results come in order."""

import collections
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: For each thread: items that are read ahead at most, and those that may be behind one that takes long.
_UNFINISHED, _WAITING = 2, 16


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], n: int) -> Iterator[_Result]:
    """Call a function on items in some threads.

    Args:
        function (callable): Called on one item, in one of the threads.
        items (iterable): Iterated over in the thread of the caller, a few ahead.
        n (int): How many threads.

    Yields:
        object: The results, in the order of the items. What a call raises is raised in its place; what has not begun
        by then is not done.
    """
    waiting: collections.deque[Future[_Result]] = collections.deque()
    room = threading.Semaphore(_UNFINISHED * n)
    with ThreadPoolExecutor(n, "image") as pool:
        try:
            for item in items:
                room.acquire()
                waiting.append(pool.submit(function, item))
                waiting[-1].add_done_callback(lambda _: room.release())
                while waiting and (waiting[0].done() or len(waiting) == _WAITING * n):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
