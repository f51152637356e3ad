"""cuBLAS's product of float32 matrices, which lie column after column at an address."""

import ctypes

import numpy as np

from reference.fake_cupy.counting import LAUNCH, note
from reference.fake_cupy.graphs import refuse_product


def sgemm(handle, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """Compute c = alpha op(a) op(b) + beta c, m x n; ``op`` transposes where it is told."""
    refuse_product()
    note(LAUNCH, "sgemm")
    op_a = _matrix(a, k, m, lda).T if transa else _matrix(a, m, k, lda)
    op_b = _matrix(b, n, k, ldb).T if transb else _matrix(b, k, n, ldb)
    out, (alpha, beta) = _matrix(c, m, n, ldc), (ctypes.c_float.from_address(p).value for p in (alpha, beta))
    old = beta * out if beta else 0  # what is multiplied by 0 may be NaN
    out[...] = alpha * (op_a @ op_b) + old


def _matrix(address, rows, columns, leading):
    assert leading >= rows, "CUBLAS_STATUS_INVALID_VALUE"
    memory = (ctypes.c_float * (leading * columns)).from_address(address)
    return np.frombuffer(memory, np.float32).reshape(columns, leading)[:, :rows].T
