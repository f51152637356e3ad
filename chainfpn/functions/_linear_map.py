"""Linear operations as function nodes: each is its own derivative, so any order of gradient exists.

Among them are the fully connected layers, whose products share our threads.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import chainer
import chainer.functions as F
import numpy as np
from chainer import backend, function_node
from chainer.backends import cuda, intel64
from chainer.functions.connection import linear as chainers
from chainer.functions.math.matmul import MatMul

from chainfpn._typing import Array, Variable
from chainfpn.functions.kernels import compute_dtype
from chainfpn.functions.kernels.product import product


class GradientNode(function_node.FunctionNode):
    """A function node that a GPU does without where nobody asks for one.

    What a node takes on the host, for checks of types and for the graph, is more than a kernel's launch. So where there
    is no graph, as in a backward pass, no hook and no check, it only computes; on a CPU it is Chainer's.
    """

    def apply(self, inputs: Sequence[Any]) -> tuple[Variable, ...]:
        """Compute: see Chainer's ``FunctionNode.apply``."""
        arrays = tuple([x.array if isinstance(x, chainer.Variable) else x for x in inputs])
        if not is_plain() or not all(isinstance(array, cuda.ndarray) for array in arrays):
            return super().apply(inputs)
        with cuda.get_device_from_array(arrays[0]):
            return tuple([chainer.Variable(y, requires_grad=False) for y in self.forward(arrays)])


class AccumulatingNode(function_node.FunctionNode):
    """A function node that differentiates by one call, without nodes, on a CPU where no graph is wanted.

    Gradients that are there already are added in place then, without a node for each sum: a convolution that runs on
    all levels of a pyramid has many.

    Attributes:
        n_new (int): The gradients of how many first inputs are new arrays.
    """

    n_new = 1

    def differentiate(self, indexes: tuple[int, ...], gy: Array, before: Array | None) -> list[Array]:
        """Return the gradients of the inputs ``indexes``.

        Args:
            indexes (tuple of int): Which, ascending.
            gy (array): Of the output, NumPy.
            before (array or None): To be added to the gradient of the first input, its dtype, if that is asked for.
        """
        raise NotImplementedError

    def backward_accumulate(
        self,
        target_input_indexes: tuple[int, ...],
        grad_outputs: tuple[Variable, ...],
        grad_inputs: tuple[Variable | None, ...],
    ) -> tuple[Variable, ...]:
        """Compute gradients and add those that are there: see Chainer's."""
        before = list(grad_inputs)
        known = [v.array for v in (*grad_outputs, *before, *self.get_retained_inputs()) if v is not None]
        if is_plain() and all(isinstance(a, np.ndarray) and a.dtype == known[0].dtype for a in known):
            first = before[0] if target_input_indexes[0] == 0 else None
            before[0] = before[0] if first is None else None
            arrays = self.differentiate(target_input_indexes, known[0], None if first is None else first.array)
            gradients = [chainer.Variable(gx, requires_grad=False) for gx in arrays]
        else:
            gradients = list(self.backward(target_input_indexes, grad_outputs))
        is_new = [i < self.n_new for i in target_input_indexes]
        return tuple(map(_add_gradient, gradients, before, is_new))


def _add_gradient(gx, before, is_new):
    if before is None or not is_new or chainer.config.enable_backprop or gx.dtype != before.dtype:
        return gx if before is None else gx + before
    array = gx.array
    array += before.array
    return gx


def is_plain() -> bool:
    """Return whether there is neither a graph, nor a hook, nor a check: bool."""
    return not (chainer.config.enable_backprop or chainer.config.debug or chainer.get_function_hooks())


class LinearMap(GradientNode):
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


def flatten_anchors(h: Variable, *n: int) -> Variable:
    """Bring the output of a convolution into a number for each anchor, or a row of n: on a GPU by one function.

    Places are row-major, the A anchors of a place next to each other.

    Args:
        h (Variable): (B, A, H_l, W_l), or (B, A * n, H_l, W_l).
        *n (int): How many numbers, if it is a row.

    Returns:
        Variable: (B, N_l) or (B, N_l, n).
    """
    n_images, n_channels, height, width = h.shape
    shape = (n_images, -1, *n)
    if not isinstance(h.array, cuda.ndarray):
        return F.reshape(F.transpose(h, (0, 2, 3, 1)), shape)

    def forward(x):
        return x.transpose(0, 2, 3, 1).reshape(shape)

    def transpose(gy):
        return gy.reshape(n_images, height, width, n_channels).transpose(0, 3, 1, 2)

    return linear_map("flatten anchors", h, forward, transpose)


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


def _share_products(arrays):
    """Return whether arrays are NumPy's, of one dtype that a BLAS multiplies, and for nobody else."""
    is_blas = {a.dtype for a in arrays} in ({np.dtype(np.float32)}, {np.dtype(np.float64)})
    return is_blas and all(isinstance(a, np.ndarray) for a in arrays) and not intel64.should_use_ideep(">=auto")


class LinearFunction(chainers.LinearFunction):
    """See :func:`linear`. The name is Chainer's: its exporters know it."""

    def forward(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Multiply, and add the bias in place."""
        if not _share_products(inputs):
            return super().forward(inputs)
        self.retain_inputs((0, 1))
        y = product(inputs[0], inputs[1].T)
        if len(inputs) == 3:
            y += inputs[2]
        return (y,)

    def backward(self, indexes: tuple[int, ...], grad_outputs: tuple[Variable, ...]) -> list[Variable]:
        """Return the gradients of the inputs ``indexes``."""
        (x, W), (gy,) = self.get_retained_inputs(), grad_outputs
        if not _share_products([a.array for a in (x, W, gy)]):
            return super().backward(indexes, grad_outputs)
        gradients = {
            0: lambda: _Product().apply((gy, W))[0],
            1: lambda: _Product(transa=True).apply((gy, x))[0],
            2: lambda: F.sum(gy, axis=0),
        }
        return [gradients[i]() for i in indexes]


class _Product(MatMul):
    """The product of (M, K), or its transpose, and (K, N), by our threads; differentiated as Chainer's."""

    def forward(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Multiply."""
        self.retain_inputs((0, 1))
        a, b = inputs
        return (product(a.T if self.transa else a, b),)


def linear(x: Variable, W: Variable, b: Variable | None = None) -> Variable:
    """Multiply by a matrix and add a bias, as ``chainer.functions.linear`` does.

    Args:
        x (Variable or array): float, (B, ...), flattened behind the first axis.
        W (Variable or array): float, (O, I).
        b (Variable, array or None): dtype of x, (O,).

    Returns:
        Variable: dtype of x, (B, O).
    """
    x = x if x.ndim == 2 else F.reshape(x, (len(x), math.prod(x.shape[1:])))
    return LinearFunction().apply((x, W) if b is None else (x, W, b))[0]
