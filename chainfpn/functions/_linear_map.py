"""Linear operations as function nodes: each is its own derivative, so any order of gradient exists."""

from collections.abc import Callable
from typing import Any

import chainer
from chainer import backend, function_node

from chainfpn._typing import Array, Variable
from chainfpn.functions.kernels import compute_dtype, kernels_for
from chainfpn.functions.kernels.geometry import RoIs


class LinearMap(function_node.FunctionNode):
    """Apply a linear map of arrays; the gradient applies its transpose, which is a linear map again.

    Args:
        label (str): Name shown in dumps of the graph.
        forward (callable): Tuple of arrays to tuple of arrays.
        transpose (callable): Arrays like the outputs to arrays like the inputs.
        **options: What else an exporter has to know of the map, kept as ``options``.
    """

    label = None

    def __init__(self, label: str, forward: Callable, transpose: Callable, **options: Any) -> None:
        super().__init__()
        self.label, self._forward, self._transpose, self.options = label, forward, transpose, options

    def forward(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Apply the map."""
        outputs = self._forward(inputs)
        self._outputs = [(y.shape, y.dtype) for y in outputs]
        self._xp = backend.get_array_module(*inputs)
        return outputs

    def backward(self, indexes: tuple[int, ...], gys: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Apply the transpose; an output that nothing depends on counts as zero."""
        filled = [
            chainer.Variable(self._xp.zeros(shape, dtype)) if gy is None else gy
            for gy, (shape, dtype) in zip(gys, self._outputs, strict=True)
        ]
        return LinearMap(f"grad of {self.label}", self._transpose, self._forward).apply(filled)


def linear_map(label: str, x: Variable, forward: Callable, transpose: Callable, **options: Any) -> Variable:
    """Apply a linear map of one array to a variable.

    Args:
        label (str): Name shown in dumps of the graph.
        x (Variable or array): The input.
        forward (callable): Array to array.
        transpose (callable): Array like the output to array like the input.
        **options: See :class:`LinearMap`.

    Returns:
        Variable: ``forward(x)``.
    """
    return LinearMap(label, lambda xs: (forward(xs[0]),), lambda gys: (transpose(gys[0]),), **options).apply((x,))[0]


def linear_roi_op(label: str, kernel: str, x: Variable, p: RoIs) -> Variable:
    """Apply a linear RoI operation to a variable.

    Args:
        label (str): Name shown in dumps of the graph.
        kernel (str): Name of its kernels, ahead of ``_forward`` and ``_backward``.
        x (Variable or array): (B, C, H, W).
        p (RoIs): The RoIs.

    Returns:
        Variable: dtype of x, (R', C', outh, outw).
    """
    x_shape = x.shape

    def forward(x):
        return getattr(kernels_for(x), f"{kernel}_forward")(x, p)

    def transpose(gy):
        return getattr(kernels_for(gy), f"{kernel}_backward")(gy, p, x_shape)

    return linear_map(label, x, forward, transpose)


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


def separable_map(
    label: str, x: Variable, matrices: Callable, *, forward: Callable | None = None, **options: Any
) -> Variable:
    """Apply a matrix to each axis of a variable.

    Args:
        label (str): Name shown in dumps of the graph.
        x (Variable or array): (B, C, H, W).
        matrices (callable): Makes the two, NumPy, (outh, H) and (outw, W); called only where they are needed.
        forward (callable or None): A faster way to the same result, array to array.
        **options: See :class:`LinearMap`.

    Returns:
        Variable: dtype of x, (B, C, outh, outw).
    """
    return linear_map(
        label,
        x,
        forward or (lambda x: apply_separable(x, *matrices())),
        lambda gy: apply_separable(gy, *(matrix.T for matrix in matrices())),
        **options,
    )
