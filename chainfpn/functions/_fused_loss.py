"""A loss and its gradient computed at once: one function node for all of them."""

from collections.abc import Callable
from typing import TypeAlias

import chainer
from chainer import backend, function_node

from chainfpn._typing import Array, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._gathered_input import GatheredInput
from chainfpn.functions.kernels import compute_dtype

#: What a loss takes: a variable, an array, or elements of some.
LossInput: TypeAlias = Variable | GatheredInput


class FusedLoss(function_node.FunctionNode):
    """Compute a number from elements of some arrays, and its gradient along with it; float16 is computed in float32.

    Args:
        label (str): Name shown in dumps of the graph.
        x (GatheredInput): The elements.
        compute (callable): Array and whether a gradient is wanted, to the value and the gradient (or None).
        divisor (float): What both are divided by.
    """

    label = None

    def __init__(self, label: str, x: GatheredInput, compute: Callable, divisor: float) -> None:
        super().__init__()
        self.label, self._x, self._compute, self._divisor = label, x, compute, float(divisor)

    def forward(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Compute the value; keep the gradient."""
        self.retain_inputs(range(len(inputs)))
        (x,) = self._x.gather(inputs)
        dtype = compute_dtype(x.dtype)
        value, self._gradient = self._compute(x.astype(dtype, copy=False), chainer.config.enable_backprop)
        return (backend.get_array_module(x).asarray(value / self._divisor, dtype=dtype),)

    def backward(self, indexes: tuple[int, ...], gys: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Scale the gradient and scatter it; that makes a graph only if one is asked for."""
        (gy,) = gys
        if chainer.config.enable_backprop:
            return _Gradient(self).apply((gy, *self.get_retained_inputs()))
        return tuple(map(chainer.as_variable, self.gradients(gy.array)))

    def gradients(self, gy: Array) -> tuple[Array, ...]:
        """Compute the gradients of the inputs from that of the output, (), as arrays."""
        gradient = self._gradient * (gy / self._divisor)
        return self._x.scatter((gradient.astype(self._x.dtype, copy=False),))


class _Gradient(function_node.FunctionNode):
    """Gradients of a loss. They depend on its inputs, too: the node takes them only to refuse a second derivative."""

    def __init__(self, loss):
        super().__init__()
        self._loss = loss

    def forward(self, inputs):
        return self._loss.gradients(inputs[0])

    def backward(self, indexes, gys):
        raise NotImplementedError(f"{self._loss.label}: there is no second derivative")


def fused_loss(label: str, x: LossInput, compute: Callable, divisor: float) -> Variable:
    """Apply a loss to a variable, or to elements of some.

    Args:
        label (str): Name shown in dumps of the graph.
        x (Variable, array or GatheredInput): float16/32/64.
        compute (callable): See :class:`FusedLoss`.
        divisor (float): What the sum is divided by, > 0.

    Returns:
        Variable: float32 or, of float64, float64, ().

    Raises:
        ValueError: if the divisor is not positive.
    """
    if not divisor > 0:
        raise InvalidArgument(label, "divisor", "> 0", divisor)
    if not isinstance(x, GatheredInput):
        x = GatheredInput(label, (x,), x.shape, lambda xs: xs, lambda gxs: gxs)
    return FusedLoss(label, x, compute, divisor).apply(x.variables)[0]
