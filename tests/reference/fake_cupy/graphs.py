"""CUDA graphs: what a stream captures is noted by address, and done again on the same memory by each launch.

As on a GPU nothing is computed meanwhile; products of cuBLAS and all that waits or copies from the host are refused;
memory that was freed since belongs to somebody else, unless the graph has a pool of its own, which must serve no other.
"""

import contextlib
import functools
import threading
import weakref

import numpy as np

from reference.fake_cupy import streams
from reference.fake_cupy.counting import LAUNCH, note, watchers

#: CuPy's own sentences.
CAPTURING = "the current stream is capturing, so synchronous API calls are disallowed"
PRODUCT = "calling cuBLAS API during stream capture is currently unsupported"


class _Here(threading.local):
    def __init__(self):
        self.pool, self.depth, self.launching = None, 0, False


_here = _Here()


def _watch(kind, what):
    """Refuse what waits during a capture; say whether a graph does it."""
    graph = streams.current().graph
    if graph is not None and kind != LAUNCH:
        graph.is_valid = graph.is_valid and "synchronize" not in what
        raise RuntimeError(CAPTURING)
    return _here.launching


watchers.append(_watch)


def refuse_product():
    """Refuse cuBLAS during a capture."""
    if streams.current().graph is not None:
        raise NotImplementedError(PRODUCT)


class MemoryPool:
    """A pool that keeps what was ever taken from it, until it is told to give it back."""

    def __init__(self):
        self.blocks, self.graph = [], lambda: None

    def malloc(self, size):
        raise NotImplementedError("arrays find the pool by themselves")

    def total_bytes(self):
        return sum(host.nbytes for host in self.blocks)

    def free_all_blocks(self, stream=None):
        self.blocks.clear()


@contextlib.contextmanager
def using_allocator(allocator=None):
    """Take memory from the pool whose ``malloc`` this is."""
    before, _here.pool = _here.pool, None if allocator is None else allocator.__self__
    try:
        yield
    finally:
        _here.pool = before


def allocated(host):
    """Note fresh memory."""
    pool, graph = _here.pool, streams.current().graph
    if pool is not None:
        assert pool.graph() in (None, graph), "memory of a graph is given to somebody else"
        pool.blocks.append(host)
    if graph is not None:
        graph.fresh.append(weakref.ref(host))
        if pool is not None:
            pool.graph = weakref.ref(graph)


class Graph:
    """What was captured.

    Attributes:
        blocks (dict): By id, a weak reference to each piece of memory that is read or written.
        fresh (list of weak references): Those that were allocated meanwhile.
        works (list of callable): What a launch does, in order.
        is_valid (bool): Whether nothing that waits came between.
    """

    def __init__(self):
        self.blocks, self.fresh, self.works, self.is_valid = {}, [], [], True

    def launch(self, stream=None):
        """Do it all again."""
        note(LAUNCH, "graph")
        with stream or streams.current():
            roots = [block() for block in self.blocks.values()]
            assert all(root is not None for root in roots), "a graph uses memory that was freed"
            for root in roots:
                streams.touch(root)
            _here.launching = True
            try:
                for work in self.works:
                    work()
            finally:
                _here.launching = False


class Stream(streams.Stream):
    """A stream that can capture."""

    def begin_capture(self, mode=None):
        if not self.ptr:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        assert self in streams.independent, "work on the default stream would end the capture"
        assert self.graph is None
        self.graph = Graph()

    def end_capture(self):
        graph, self.graph = self.graph, None
        if not graph.is_valid:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        for host in (block() for block in graph.fresh):
            if host is not None and host.dtype.kind in "fc":
                host.fill(np.nan)  # for nothing has been computed
        return graph

    def is_capturing(self):
        return self.graph is not None


streams.Stream.null = Stream(null=True)


class _Address:
    """An array as a kernel knows it, by its address; it keeps no memory."""

    def __init__(self, array):
        self.kind, self.__array_interface__ = type(array), dict(array._host.__array_interface__)

    def array(self):
        array = object.__new__(self.kind)
        array._host = np.asarray(self)
        return array


def _forget(value):
    """Replace arrays by their addresses."""
    if hasattr(value, "_host"):
        return _Address(value)
    return type(value)(map(_forget, value)) if isinstance(value, list | tuple) else value


def _recall(value):
    """Replace addresses by arrays."""
    if isinstance(value, _Address):
        return value.array()
    return type(value)(map(_recall, value)) if isinstance(value, list | tuple) else value


def launches(function):
    """Mark what launches something: a stream that captures notes it."""

    @functools.wraps(function)
    def run(*args, **options):
        graph = streams.current().graph
        if graph is None or _here.depth:
            return function(*args, **options)
        _here.depth += 1
        try:
            result = function(*args, **options)
        finally:
            _here.depth -= 1
        graph.works.append(_work(function, _forget(args), {k: _forget(v) for k, v in options.items()}, _forget(result)))
        return result

    return run


def _work(function, args, options, result):
    def work():
        _write(function(*_recall(args), **{key: _recall(value) for key, value in options.items()}), result)

    return work


def _write(found, result):
    """Write what was computed again to where the capture had it."""
    if isinstance(result, _Address):
        there = result.array()._host
        if there.ctypes.data != found._host.ctypes.data:  # else a view
            there[...] = found._host
    elif isinstance(result, list | tuple):
        for pair in zip(found, result, strict=True):
            _write(*pair)
