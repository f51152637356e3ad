"""What is done to many arrays at once: on a GPU one kernel goes over all of them, by their addresses."""

from collections.abc import Sequence

import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Array

#: Elements of an array that a group of threads goes over, and threads of a group.
CHUNK, THREADS = 2**14, 256

#: Ahead of a statement about ``x[j]``: each thread takes every THREADS-th element of the chunk of its group.
_LOOP = f"""
T* x = (T*)address[i / {THREADS}];
for (long long j = i % {THREADS}; j < length[i / {THREADS}]; j += {THREADS})
"""


def sum_of_squares(arrays: Sequence[Array]) -> float:
    """Sum the squares of all elements; the host waits once.

    Args:
        arrays (sequence of array): float16/32/64.

    Returns:
        float: The sum, infinite if it overflows float32.
    """
    total = 0.0
    for group in _groups(arrays):
        first = group[0]
        if len(group) == 1 and not _has_address(first):
            with np.errstate(over="ignore"):
                total += float((first.astype(np.float32, copy=False) ** 2).sum())
            continue
        with cuda.get_device_from_array(first):
            chunks = cut_together(group)
            sums = cuda.cupy.empty(chunks[1].size * THREADS, np.promote_types(first.dtype, np.float32))
            inputs, operation = "raw T first, raw int64 address, raw int64 length", f"{_LOOP}sum += (S)x[j] * (S)x[j];"
            cuda.elementwise(inputs, "S y", f"S sum = 0;{operation}y = sum", "sum_of_squares")(first, *chunks, sums)
            total += float(sums.sum(dtype=np.float64))
    return total


def multiply(arrays: Sequence[Array], factor: float) -> None:
    """Multiply all elements in place by a factor, in the precision of each array.

    Args:
        arrays (sequence of array): float16/32/64.
        factor (float): The factor.
    """
    for group in _groups(arrays):
        first = group[0]
        if len(group) == 1 and not _has_address(first):
            first *= first.dtype.type(factor)
            continue
        with cuda.get_device_from_array(first):
            address, length = cut_together(group)
            inputs, operation = "raw T first, T factor, raw int64 length", f"{_LOOP}x[j] = x[j] * factor;"
            kernel = cuda.elementwise(inputs, "raw int64 address", operation, "multiply")
            kernel(first, factor, length, address, size=length.size * THREADS)


def _has_address(array):
    """Return whether an array is on a GPU and without gaps."""
    return isinstance(array, cuda.ndarray) and (array.flags.c_contiguous or array.flags.f_contiguous)


def _groups(arrays):
    """List arrays that one kernel can go over, and every other array by itself."""
    together: dict = {}
    for i, array in enumerate(arrays):
        key = (array.dtype, array.device.id) if _has_address(array) else i
        together.setdefault(key, []).append(array)
    return together.values()


def cut_together(*lists: Sequence[Array]) -> Array:
    """Cut arrays into chunks that a kernel goes over, a group of ``THREADS`` threads each.

    Args:
        *lists (sequence of array): On the current device and without gaps; the k-th of all lists have the same size.

    Returns:
        array: int64, (number of lists + 1, number of chunks): their addresses, a row for each list, and their lengths.
    """
    sizes = np.array([array.size for array in lists[0]])
    counts = -(-sizes // CHUNK)
    which = np.repeat(np.arange(len(sizes)), counts)
    start = CHUNK * (np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts))
    addresses = [np.array([array.data.ptr for array in arrays])[which] + start * arrays[0].itemsize for arrays in lists]
    return cuda.cupy.asarray(np.stack((*addresses, np.minimum(sizes[which] - start, CHUNK))))
