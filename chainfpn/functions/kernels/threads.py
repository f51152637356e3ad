"""Threads for kernels that release the GIL."""

import threading
from collections.abc import Callable

import numba


def n_threads() -> int:
    """Return how many threads to use: NUMBA_NUM_THREADS, by default the cores this process may run on.

    Numba's own threads, which do not survive a fork, are never started.
    """
    return numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]


def run(kernel: Callable, tasks: list[tuple]) -> None:
    """Call ``kernel(*task)`` for each task on several threads, which take them in turn; raise the first error."""
    n_workers = min(n_threads(), len(tasks))
    if n_workers <= 1:
        for task in tasks:
            kernel(*task)
        return
    errors: list[BaseException] = []
    queue = iter(tasks)

    def work():
        for task in queue:  # threads may share the iterator of a list: under the GIL each task is given once
            if errors:
                return
            try:
                kernel(*task)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(n_workers - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
