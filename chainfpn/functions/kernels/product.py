"""The product of two matrices by our own threads, see ``kernels.threads``: those of a BLAS spin on when it is done."""

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import threads

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
