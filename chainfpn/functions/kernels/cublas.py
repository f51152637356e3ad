"""cuBLAS's product of two float32 matrices, called directly: CuPy's ``dot`` looks at more before."""

import ctypes

from chainer.backends import cuda

from chainfpn._typing import Array

_ZERO, _ONE = ctypes.c_float(0), ctypes.c_float(1)


def multiply(
    a: Array, b: Array, out: Array, sizes: tuple[int, int, int], transposed: tuple[bool, bool], *, add: bool = False
) -> None:
    """Write the product of two matrices, or add it to what is there, on the current stream.

    Args:
        a, b, out (arrays): float32 on the GPU, C-contiguous: m x k, k x n and m x n, in any shape.
        sizes (tuple of int): m, n, k.
        transposed (tuple of bool): Does a lie as k x m, b as n x k?
        add (bool): Add to ``out``?
    """
    m, n, k = sizes
    is_a, is_b = transposed
    # cuBLAS counts along columns first, and so it sees the transpose of each: out' = b' a'
    second, first = (b.data.ptr, k if is_b else n), (a.data.ptr, m if is_a else k)
    one, beta = (ctypes.addressof(scalar) for scalar in (_ONE, _ONE if add else _ZERO))
    handle = cuda.cupy.cuda.get_cublas_handle()
    cuda.cupy.cuda.cublas.sgemm(handle, int(is_b), int(is_a), n, m, k, one, *second, *first, beta, out.data.ptr, n)
