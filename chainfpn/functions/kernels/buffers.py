"""Large arrays in memory that was used before: to clear new pages takes the system as long as an operator to fill them.

The C library gives memory of this size back to the system as soon as an array is gone.
"""

import math

import numpy as np

from chainfpn._typing import Array

#: Bytes from which on memory is kept.
LARGE = 1 << 22

#: Bytes that are kept at most; what was unused longest goes first.
KEPT = 1 << 28


class _Pool:
    """Memory that nobody uses, the oldest first; under the GIL each piece is taken once."""

    def __init__(self, limit: int) -> None:
        self.free: dict[int, Array] = {}
        self.limit = limit

    def take(self, n_bytes: int) -> Array:
        """Return memory of that size, or of up to twice as much."""
        for key, memory in sorted(self.free.items(), key=lambda item: item[1].nbytes):
            if n_bytes <= memory.nbytes <= 2 * n_bytes and self.free.pop(key, None) is not None:
                return memory
        return np.empty(n_bytes, np.uint8)

    def keep(self, memory: Array) -> None:
        """Keep memory, and forget older one beyond the limit."""
        self.free[id(memory)] = memory
        surplus = sum(each.nbytes for each in list(self.free.values())) - self.limit
        for key, each in list(self.free.items()):
            if surplus > 0 and self.free.pop(key, None) is not None:
                surplus -= each.nbytes


class _Loan:
    """The base of an array and of all its views: gives the memory back when the last of them is gone."""

    def __init__(self, pool: _Pool, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.pool, self.memory = pool, pool.take(math.prod(shape) * dtype.itemsize)
        address = self.memory.ctypes.data, False
        self.__array_interface__ = {"data": address, "shape": shape, "typestr": dtype.str, "version": 3}

    def __del__(self) -> None:
        self.pool.keep(self.memory)


_pool = _Pool(KEPT)


def empty(shape: tuple[int, ...], dtype: np.dtype | type) -> Array:
    """Return an array of any content, as NumPy's does; a large one in memory that was used before, if there is some.

    Args:
        shape (tuple of int): Its shape.
        dtype (dtype): Its dtype.

    Returns:
        array: C-contiguous.
    """
    dtype = np.dtype(dtype)
    is_large = math.prod(shape) * dtype.itemsize >= LARGE
    return np.asarray(_Loan(_pool, tuple(shape), dtype)) if is_large else np.empty(shape, dtype)
