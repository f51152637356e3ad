"""Streams and events: what one stream does to an array, another may meet only after it has waited for that.

Copies from page-locked memory to a stream of its own are made as late as CUDA may make them.
"""

import itertools
import threading
import weakref

import numpy as np

from reference.fake_cupy.counting import SYNC, note

#: Streams that wait for no other by themselves; without any nothing has to be followed.
independent = weakref.WeakSet()
#: By the address of a NumPy array in memory: the stream that met it last, and which of its works that was.
_met: dict = {}
#: How many works of each stream the host has waited for.
_host: dict = {}
_locked = weakref.WeakValueDictionary()
_addresses = itertools.count(1000)


class _Here(threading.local):
    def __init__(self):
        self.stack = []


_here = _Here()


def current():
    """Return the stream of the thread."""
    return _here.stack[-1] if _here.stack else Stream.null


def touch(host, *, is_new=False):
    """Note that the current stream works on an array; refuse what another may be at work on."""
    if not independent:
        return
    root, graph = _root(host), current().graph
    if graph is not None:
        graph.blocks.setdefault(id(root), weakref.ref(root))
        return  # nothing is done yet
    if is_new and id(root) in _met:
        return
    stream = current()
    other, n = _met.get(id(root), (stream, 0))
    assert stream.follows(other, n), "an array is used on a stream that has not waited for the stream it was used on"
    if id(root) not in _met:
        weakref.finalize(root, _met.pop, id(root), None)
    stream.seen[stream.line] = stream.seen.get(stream.line, 0) + 1
    _met[id(root)] = stream, stream.seen[stream.line]


def _root(host):
    while isinstance(host.base, np.ndarray):
        host = host.base
    return host


def empty_pinned(shape, dtype=float, order="C"):
    """Make an array in page-locked memory."""
    array = np.empty(shape, dtype, order)
    _locked[id(array)] = array
    return array


def is_page_locked(array):
    """Return whether a NumPy array lies in page-locked memory."""
    root = _root(array)
    return _locked.get(id(root)) is root


def _merge(seen, more):
    for line, n in more.items():
        seen[line] = max(seen.get(line, 0), n)


class Stream:
    """A stream. But for those that do not block, all are one."""

    #: What it captures at present; see graphs.py.
    graph = None

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else next(_addresses)
        self.line, self.seen, self.later, self.n_done = object(), {}, [], 0
        if non_blocking:
            independent.add(self)
        elif not null:
            self.line, self.seen = Stream.null.line, Stream.null.seen

    def __enter__(self):
        _here.stack.append(self)
        return self

    def __exit__(self, *exception):
        _here.stack.pop()

    def use(self):
        _here.stack[:] = [self]
        return self

    def follows(self, other, n):
        """Return whether the n-th work of another stream is done before what this one does next."""
        return other.line is self.line or max(seen.get(other.line, 0) for seen in (self.seen, _host)) >= n

    def enqueue(self, copy):
        """Take a copy, which is made at once by a stream that others wait for anyway."""
        if self in independent:
            self.later.append(copy)
        else:
            copy()

    def run(self, n):
        """Make the first n of the copies that wait."""
        while self.n_done < n:
            self.later.pop(0)()
            self.n_done += 1

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        event.stream.run(event.n)
        _merge(self.seen, event.seen)

    def synchronize(self):
        note(SYNC, "Stream.synchronize")
        self.synchronize_host()

    def synchronize_host(self):
        """Let the host know that all work of this stream is done."""
        self.run(self.n_done + len(self.later))
        _merge(_host, self.seen)


Stream.null = Stream(null=True)


def synchronize_device():
    """Let the host know that the work of all streams is done."""
    for stream in (Stream.null, *independent):
        stream.synchronize_host()


class Event:
    """A point in a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.stream, self.seen, self.n = Stream.null, {}, 0

    def record(self, stream=None):
        self.stream = stream or current()
        self.seen, self.n = dict(self.stream.seen), self.stream.n_done + len(self.stream.later)

    def synchronize(self):
        if any(_host.get(line, 0) < n for line, n in self.seen.items()):
            note(SYNC, "Event.synchronize")
        self.stream.run(self.n)
        _merge(_host, self.seen)
