"""Batches that other processes read ahead of a training."""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from typing import Any, NamedTuple

import chainer
import numpy as np

from chainfpn._typing import Array
from chainfpn.datasets.aspect_ratio_grouping import STATE, AspectRatioGroupedIterator
from chainfpn.datasets.validated import ValidatedDataset
from chainfpn.errors import InvalidArgument, InvalidType

#: Batches that each worker is ahead.
_AHEAD = 2
#: Seconds after which a worker notices that the training was killed.
_WATCH = 1
#: The data of a worker.
_worker: dict[str, Any] = {}


class _Batch(NamedTuple):
    """A batch that is being read: where from, which examples, and the state after it."""

    future: concurrent.futures.Future
    indices: Array
    state: dict[str, Any]


class PrefetchIterator(AspectRatioGroupedIterator):
    """An :class:`AspectRatioGroupedIterator` whose examples are read and transformed by other processes.

    Two batches per process are under way while a step is made. Each example has a random number of its own, drawn
    here, that the transforms' numbers follow from: they do not depend on how many processes there are, nor on which is
    first, and a training that is resumed sees the same examples.

    Args:
        dataset (chainer.dataset.DatasetMixin): What is iterated over.
        batch_size (int): Examples per batch.
        groups (sequence of int or None): Group of each example, from 0; all of one if None.
        n_workers (int): Processes.
        watched (ValidatedDataset or None): Part of ``dataset``; here it hears of what the processes find broken.
        shuffle (bool): Go through the data in random orders.
        repeats (sequence of float or None): How often each example comes in a round.

    Raises:
        ValueError: if n_workers < 1, or as :class:`AspectRatioGroupedIterator`.
    """

    _pool: concurrent.futures.ProcessPoolExecutor | None = None

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        groups: Array | None = None,
        *,
        n_workers: int,
        watched: ValidatedDataset | None = None,
        shuffle: bool = True,
        repeats: Array | None = None,
    ) -> None:
        if n_workers < 1:
            raise InvalidArgument("PrefetchIterator", "n_workers", ">= 1", n_workers)
        seed = np.random.randint(2**32, dtype=np.uint32)
        options: dict[str, Any] = {"shuffle": shuffle, "repeats": repeats}
        # what is read ahead, and, in this object, what was returned
        self._plan = AspectRatioGroupedIterator(
            dataset, batch_size, groups, random=np.random.RandomState(seed), **options
        )
        self._batches: collections.deque[_Batch] = collections.deque()
        super().__init__(dataset, batch_size, groups, random=np.random.RandomState(seed), **options)
        self.watched, self._n_ahead, self._reported = watched, _AHEAD * n_workers, set[str]()
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(
            n_workers, context, initializer=_start, initargs=(dataset, watched, os.getpid())
        )
        self._fill()

    def __next__(self) -> list:
        self._fill()
        batch = self._batches.popleft()
        try:
            examples, findings = batch.future.result()
        except concurrent.futures.BrokenExecutor:
            raise ChildProcessError("a process that reads images has ended, for want of memory perhaps") from None
        for name, value in batch.state.items():
            setattr(self, f"_{name}", value)
        self.random.set_state(batch.state["random_state"])
        self.indices = batch.indices
        if self.watched is not None:
            for omission in self.watched.merge(findings):
                if omission not in self._reported:
                    self._reported.add(omission)
                    self.watched.report(omission)
        self._fill()
        return examples

    def __reduce__(self):
        raise InvalidType("PrefetchIterator", "what is copied or pickled", "its dataset, for it has processes", self)

    def finalize(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Save the state after the last batch that was returned, or restore it so that the same batches follow.

        That of an :class:`AspectRatioGroupedIterator` will do, too; random numbers are new ones then.

        Args:
            serializer (chainer.AbstractSerializer): Where to or from.

        Raises:
            ValueError: if what is restored is of another data set or batch size.
        """
        super().serialize(serializer)
        kind, keys, position, *rest = self.random.get_state()
        with contextlib.suppress(KeyError):
            keys, position = serializer("random_keys", keys), serializer("random_position", position)
        if isinstance(serializer, chainer.Deserializer):
            self.random.set_state((kind, keys, int(position), *rest))
            for batch in self._batches:
                batch.future.cancel()
            self._batches.clear()
            for name in STATE:
                setattr(self._plan, f"_{name}", getattr(self, f"_{name}"))
            self._plan._waiting = self._waiting.copy()
            self._plan.random.set_state(self.random.get_state())

    def _fill(self) -> None:
        """Let the processes read on."""
        plan, pool = self._plan, self._pool
        while pool is not None and len(self._batches) < self._n_ahead:
            indices = plan.advance()
            seeds = plan.random.randint(2**32, size=len(indices), dtype=np.uint32)
            state = {name: getattr(plan, f"_{name}") for name in STATE}
            state.update(waiting=plan._waiting.copy(), random_state=plan.random.get_state())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of a fork beside threads
                future = pool.submit(_load, indices, seeds)
            self._batches.append(_Batch(future, indices, state))


def _start(dataset: Any, watched: ValidatedDataset | None, parent: int) -> None:
    """Begin a process: it heeds no signal but ends with the training, whatever ended that."""
    from chainfpn.functions.kernels import threads

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threads.N_THREADS = 1
    _worker.update(dataset=dataset, watched=watched, found=[])
    if watched is not None:
        watched.report = _worker["found"].append
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH)
    os._exit(1)


def _load(indices: Array, seeds: Array) -> tuple[list, Any]:
    """Read a batch; return it, and what was found broken."""
    examples = []
    for i, seed in zip(indices, seeds, strict=True):
        np.random.seed(seed)
        examples.append(_worker["dataset"][int(i)])
    watched, found = _worker["watched"], _worker["found"]
    omissions = [*found]
    found.clear()
    return examples, None if watched is None else watched.findings(indices, omissions)
