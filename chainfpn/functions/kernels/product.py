"""The product of two matrices, and a sum, by our own threads, see ``threads``: those of a BLAS spin on afterwards."""

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import threads

#: Numbers of a share of a sum.
SUM_SHARE = 1 << 17
#: Multiplications of a share of the work; and how many shares there are at most, each of which packs a whole operand.
SHARE, MOST = 1 << 24, 4


def product(a: Array, b: Array) -> Array:
    """Multiply two matrices, (M, K) and (K, N); threads share the longer side of the result.

    Args:
        a, b (array): NumPy, one dtype.

    Returns:
        array: (M, N), the same however many threads there are.
    """
    y = np.empty((len(a), b.shape[1]), a.dtype)
    by_rows = y.shape[0] >= y.shape[1]

    def multiply(begin: int, end: int) -> None:
        part = slice(begin, end)
        np.matmul(a[part] if by_rows else a, b if by_rows else b[:, part], out=y[part] if by_rows else y[:, part])

    threads.run(multiply, threads.cut(max(y.shape), min(y.size * len(b) / SHARE, MOST)))
    return y


def add_to(target: Array, source: Array) -> None:
    """Add an array to another in place.

    Args:
        target, source (array): NumPy, one shape and dtype; the first is C-contiguous.
    """
    a, b = target.reshape(-1), source.reshape(-1)

    def add(begin: int, end: int) -> None:
        np.add(a[begin:end], b[begin:end], out=a[begin:end])

    threads.run(add, threads.cut(len(a), len(a) / SUM_SHARE))
