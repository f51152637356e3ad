"""Maps that are one matrix over rows and one over columns: y = rows x columns^T, on either device."""

from collections.abc import Callable

from chainer import backend

from chainfpn._typing import Array, Variable
from chainfpn.functions._linear_map import linear_map
from chainfpn.functions.kernels import compute_dtype


def apply_separable(x: Array, rows: Array, columns: Array) -> Array:
    """Apply a matrix to each axis of a map.

    Args:
        x (array): float16/32/64, (B, C, H, W).
        rows (array): NumPy, (outh, H).
        columns (array): NumPy, (outw, W).

    Returns:
        array: dtype of x, (B, C, outh, outw). float16 is computed in float32.
    """
    xp = backend.get_array_module(x)
    dtype = compute_dtype(x.dtype)
    rows, columns = xp.asarray(rows, dtype), xp.asarray(columns, dtype)
    return (rows @ (x.astype(dtype, copy=False) @ columns.T)).astype(x.dtype, copy=False)


def separable_map(label: str, x: Variable, matrices: Callable, *, forward: Callable | None = None) -> Variable:
    """Apply a matrix to each axis of a variable.

    Args:
        label (str): Name shown in dumps of the graph.
        x (Variable or array): (B, C, H, W).
        matrices (callable): Makes the two, NumPy, (outh, H) and (outw, W); called only where they are needed.
        forward (callable or None): A faster way to the same result, array to array.

    Returns:
        Variable: dtype of x, (B, C, outh, outw).
    """
    return linear_map(
        label,
        x,
        forward or (lambda x: apply_separable(x, *matrices())),
        lambda gy: apply_separable(gy, *(matrix.T for matrix in matrices())),
    )
