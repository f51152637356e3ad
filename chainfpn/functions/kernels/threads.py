"""One level of threads: ours share out blocks of work, and a matrix product stays on the thread that asks for it.

The threads of a BLAS spin while they wait for each other, and wait for whichever thread the system holds up; two
products at a time, on a thread each, do neither.
"""

import contextlib
import contextvars
import functools
import itertools
import math
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import threadpoolctl

from chainfpn._typing import Array
from chainfpn.functions.kernels.cores import count_cores, requested

#: How many threads to use. Numba's own, which do not survive a fork, are never started.
N_THREADS = requested("NUMBA_NUM_THREADS", "OMP_NUM_THREADS") or count_cores()


def default_threads() -> int:
    """Return how many threads an engine uses: ``OMP_NUM_THREADS``, or as many as the operators here."""
    return requested("OMP_NUM_THREADS") or N_THREADS


#: Multiplications of a share of a block's work, where there is no other block; a quarter is worth a second thread.
SHARE = 1 << 25


@contextlib.contextmanager
def shared_by(n: int) -> Iterator[None]:
    """Let each of some callers at a time use its share of the threads while a block runs, at least one.

    Args:
        n (int): How many call :func:`run` at a time, each from a thread of its own.
    """
    global N_THREADS
    all_threads = N_THREADS
    N_THREADS = max(1, all_threads // n)
    try:
        with _blas().controller.limit(limits=N_THREADS) if n > 1 else contextlib.nullcontext():
            yield
    finally:
        N_THREADS = all_threads


#: The most threads that :func:`run` uses where it is called.
_most = contextvars.ContextVar("chainfpn_most_threads", default=1 << 30)


@contextlib.contextmanager
def at_most(n: int) -> Iterator[None]:
    """Use at most n threads inside."""
    token = _most.set(n)
    try:
        yield
    finally:
        _most.reset(token)


def run(kernel: Callable, tasks: list[tuple], local: Callable[[], Any] | None = None) -> None:
    """Call ``kernel(*task)`` for each task on several threads, which take them in turn; raise the first error.

    Args:
        kernel (callable): Releases the GIL.
        tasks (list of tuple): Its arguments.
        local (callable or None): Makes what each thread keeps for itself, a buffer say: the first argument.
    """
    errors: list[BaseException] = []
    rest = iter(tasks)

    def work() -> None:
        try:
            own = () if local is None else (local(),)
            for task in rest:  # threads may share the iterator of a list: under the GIL each task is given once
                if errors:
                    return
                kernel(*own, *task)
        except BaseException as error:
            errors.append(error)

    with _blas().on_one_thread():
        _helpers().share(work, min(N_THREADS, _most.get(), len(tasks)) - 1)
    if errors:
        raise errors[0]


class _Helpers:
    """Threads that wait for work: to start one for each piece would take as long as many a piece."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue = queue.SimpleQueue()
        self.threads: list[threading.Thread] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self.stop, after_in_child=self.stop)

    def share(self, work: Callable[[], None], n: int) -> None:
        """Call ``work()`` here and on n threads beside; one that has not begun when it is done here, does not begin."""
        while len(self.threads) < n:
            self.threads.append(threading.Thread(target=self._serve, args=(self.jobs,), daemon=True))
            self.threads[-1].start()
        begun = [threading.Lock() for _ in range(n)]
        for lock in begun:
            self.jobs.put((work, lock))
        work()
        for lock in begun:
            lock.acquire()

    @staticmethod
    def _serve(jobs):
        while (job := jobs.get()) is not None:
            work, begun = job
            if begun.acquire(blocking=False):
                try:
                    work()
                finally:
                    begun.release()
            del job, work, begun

    def stop(self) -> None:
        """Forget the threads, which do not survive a fork; those that run end after what they do."""
        for _ in self.threads:
            self.jobs.put(None)
        for thread in self.threads:
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join()
        self.jobs, self.threads = queue.SimpleQueue(), []


_helpers = functools.cache(_Helpers)


def add_up(kernel: Callable, tasks: list[tuple], local: Callable[[], Any]) -> Array:
    """Return the sum of ``kernel(own, *task)`` over tasks, added in their order however many threads there are.

    Args:
        kernel (callable): Returns an array, which may be overwritten by the next call on the same thread.
        tasks (list of tuple): Its arguments.
        local (callable): Makes what each thread keeps for itself.
    """
    turn, n_done, total = threading.Condition(), 0, None

    def work(own: Any, k: int, *task: Any) -> None:
        nonlocal n_done, total
        try:
            part = kernel(own, *task)
            with turn:
                turn.wait_for(lambda: n_done >= k)
                if total is None:
                    total = part if len(tasks) == 1 else part.copy()  # the next task may overwrite it
                else:
                    np.add(total, part, out=total)
                n_done += 1
                turn.notify_all()
        except BaseException:  # an interrupt may also come while one waits
            with turn:
                n_done = len(tasks)  # there is no sum for which anybody would have to wait
                turn.notify_all()
            raise

    run(work, [(k, *task) for k, task in enumerate(tasks)], local)
    return total


def cut(n: int, n_blocks: float) -> list[tuple[int, int]]:
    """Cut rows into ranges that threads share, the same however many threads there are.

    Args:
        n (int): Rows.
        n_blocks (float): Ranges that would each fit into the cache; below a quarter there is too little to share.

    Returns:
        list of (int, int): First row of each range, and last exclusive; an even number of them, or a multiple of four.
    """
    few = 1 if n_blocks < 1 / 4 else 2 if n_blocks <= 2 else 4
    parts = max(1, min(few * math.ceil(n_blocks / few), n))
    return list(itertools.pairwise(n * k // parts for k in range(parts + 1)))


class _Blas:
    """The matrix products of NumPy, whose threads are switched off while anyone asks for it."""

    def __init__(self) -> None:
        self.n_inside, self.lock = 0, threading.Lock()
        self.taken: list[tuple[Any, int]] = []  # library, and how many threads it had
        self.controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    @contextlib.contextmanager
    def on_one_thread(self) -> Iterator[None]:
        """Let products inside run on one thread each."""
        is_inside = False
        try:
            with self.lock:
                self.n_inside, is_inside = self.n_inside + 1, True  # an interrupt may come whenever something is called
                if self.n_inside == 1:
                    libraries = self.controller.lib_controllers
                    self.taken += [(library, n) for library in libraries if (n := library.num_threads) != 1]
                    for library, _ in self.taken:
                        library.set_num_threads(1)
            yield
        finally:
            with self.lock:
                self.n_inside -= is_inside
                self._restore()

    def _restore(self):
        while self.n_inside == 0 and self.taken:
            library, n = self.taken[-1]
            library.set_num_threads(n)
            self.taken.pop()

    def _forget(self):
        """Be as new in a process that was forked while threads were at work."""
        self.n_inside, self.lock = 0, threading.Lock()
        self._restore()


_blas = functools.cache(_Blas)
