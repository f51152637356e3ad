"""Images that go to a GPU while it works on those before them."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Array


def upload_ahead(batches: Iterable[tuple[list[Array], Any]]) -> Iterator[tuple[list[Array], Any]]:
    """Copy each batch to the current device, from page-locked memory and on a stream of its own, one batch ahead.

    Args:
        batches (iterable of tuple): Each a list of NumPy arrays, and whatever comes with them.

    Yields:
        tuple: The arrays on the device, for the stream that is then current, and what came with them. Arrays that the
        device has no room for stay on the host.
    """
    stream = cuda.cupy.cuda.Stream(non_blocking=True)
    ahead: list[tuple[_Upload, Any]] = []
    for arrays, others in batches:
        ahead.append((_Upload(arrays, stream), others))
        if len(ahead) == 2:
            yield from _arrive(*ahead.pop(0))
    for upload in ahead:
        yield from _arrive(*upload)


def _arrive(upload, others):
    yield upload.wait(), others
    upload.done.synchronize()  # only then may its page-locked memory be used again; by now it is done


class _Upload:
    """A copy of arrays that is on its way."""

    def __init__(self, arrays, stream):
        cupy = cuda.cupy
        self.done = cupy.cuda.Event(disable_timing=True)
        self._arrays, self._locked = arrays, []
        try:
            found = [cupy.empty(array.shape, array.dtype) for array in arrays]
            for array in arrays:
                self._locked.append(cuda.cupyx.empty_pinned(array.shape, array.dtype))
                np.copyto(self._locked[-1], array)
        except MemoryError:
            found, self._locked = [], []
        self._arrays = found or arrays
        stream.wait_event(cupy.cuda.get_current_stream().record())  # what had this memory before may still work there
        for array, locked in zip(found, self._locked, strict=True):
            array.set(locked, stream)
        stream.record(self.done)

    def wait(self):
        """Return the arrays, which the current stream waits for."""
        cuda.cupy.cuda.get_current_stream().wait_event(self.done)
        return self._arrays
