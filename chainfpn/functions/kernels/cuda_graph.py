"""What a function launches on a GPU, captured as a CUDA graph, which the host launches as one."""

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

from chainer.backends import cuda

from chainfpn._typing import Array
from chainfpn.functions.kernels.cudnn_backend import strict

#: A stream captures for one thread at a time.
_capture = threading.RLock()


class CudaGraph:
    """A function of an array as one launch on the current device.

    A launch does what the function did when it was captured, at the same addresses: what is written into the arrays
    that it reads counts, and they must stay where they are. All between input and results lies in a pool of its own,
    which is given back with the graph.
    """

    def __init__(self) -> None:
        self._lock, self._done = threading.Lock(), cuda.cupy.cuda.Event(disable_timing=True)
        self._pool, self._kept = cuda.cupy.cuda.MemoryPool(), list[Any]()
        device = cuda.cupy.cuda.Device()
        weakref.finalize(self, _release, self._kept, self._pool, device, self._done).atexit = False

    def capture(self, function: Callable[[Array], list[Array]], x: Array) -> None:
        """Capture a function, which is run twice.

        Args:
            function (callable): An array to a list of arrays. It must wait for nothing, copy nothing from the host, and
                multiply no matrices by cuBLAS, which CuPy refuses.
            x (array): Has the shape and dtype of what the graph will be run on.

        Raises:
            MemoryError: if the graph would keep more memory than it leaves.
            Exception: of CuPy or cuDNN, if this cannot be captured.
        """
        cuda.cupy.cuda.get_current_stream().synchronize()  # all that is read is there
        cuda.cupy.get_default_memory_pool().free_all_blocks()  # of which computing as usual had need
        stream = _stream(cuda.cupy.cuda.Device().id)
        with _capture, stream, cuda.cupy.cuda.using_allocator(self._pool.malloc), strict():
            into = x.copy()
            try:
                function(into)  # loads kernels, makes plans and takes memory, none of which a capture should do
            finally:
                stream.synchronize()
            (free, _), size = cuda.cupy.cuda.runtime.memGetInfo(), self._pool.total_bytes()
            if free < size:
                raise MemoryError(f"it would keep {size >> 20} MiB and leave {free >> 20} MiB")
            stream.begin_capture()
            try:
                ys = function(into)
            finally:
                graph = stream.end_capture()
        self._kept += graph, into, ys

    def run(self, x: Array) -> list[Array]:
        """Compute on the current stream.

        Args:
            x (array): dtype and shape of that of the capture.

        Returns:
            list of array: Copies of the results, C-contiguous.
        """
        (graph, into, ys), stream = self._kept, cuda.cupy.cuda.get_current_stream()
        with self._lock:
            stream.wait_event(self._done)  # another stream may be at it
            into[...] = x
            graph.launch(stream)
            copies = [y.copy() for y in ys]
            self._done.record(stream)
        return copies


@functools.cache
def _stream(device):
    """Return the stream that captures, which work on the default one does not disturb."""
    return cuda.cupy.cuda.Stream(non_blocking=True)


def _release(kept, pool, device, done):
    """Give back what a graph kept, when it has run for the last time."""
    with device:
        done.synchronize()
        kept.clear()
        pool.free_all_blocks()
