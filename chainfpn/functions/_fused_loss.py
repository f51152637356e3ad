"""A loss that is one number, whose gradient is known as soon as it is: one function node for all of them."""

import chainer
from chainer import backend, function_node

from chainfpn.functions._gathered_input import GatheredInput, whole
from chainfpn.functions.kernels import compute_dtype


class FusedLoss(function_node.FunctionNode):
    """Compute a number from a part of some arrays, and its gradient along with it; float16 is computed in float32.

    Args:
        name (str): Label in the graph.
        part (GatheredInput): What is looked at.
        compute (callable): Array and whether a gradient is wanted, to the value and the gradient (or None).
        divisor (float): By which both are divided.
    """

    def __init__(self, name, part, compute, divisor):
        super().__init__()
        self._name = name
        self._part = part
        self._compute = compute
        self._divisor = float(divisor)

    @property
    def label(self):
        """Name shown in dumps of the graph."""
        return self._name

    def forward(self, inputs):
        """Compute the value; keep the gradient."""
        self.retain_inputs(range(len(inputs)))
        (x,) = self._part.take(inputs)
        dtype = compute_dtype(x.dtype)
        value, self._gradient = self._compute(x.astype(dtype, copy=False), chainer.config.enable_backprop)
        return (backend.get_array_module(x).asarray(value / self._divisor, dtype=dtype),)

    def backward(self, indexes, gys):
        """Scale the gradient and put it where the part was; that makes a graph only if one is asked for."""
        (gy,) = gys
        if chainer.config.enable_backprop:
            return _Gradient(self._name, self.gradients).apply((gy, *self.get_retained_inputs()))
        return tuple(map(chainer.as_variable, self.gradients(gy.array)))

    def gradients(self, gy):
        """Compute the gradients of the inputs from that of the output, (), as arrays."""
        gradient = self._gradient * (gy / self._divisor)
        return self._part.put((gradient.astype(self._part.dtype, copy=False),))


class _Gradient(function_node.FunctionNode):
    """Gradients of a loss; that they depend on its inputs, too, is only there to be refused."""

    def __init__(self, name, gradients):
        super().__init__()
        self._name = name
        self._gradients = gradients

    def forward(self, inputs):
        return self._gradients(inputs[0])

    def backward(self, indexes, gys):
        raise NotImplementedError(f"{self._name}: there is no second derivative")


def fused_loss(name, x, compute, divisor):
    """Apply a loss to a variable, or a part of some.

    Args:
        name (str): Label in the graph.
        x (Variable, array or GatheredInput): float16/32/64.
        compute (callable): See :class:`FusedLoss`.
        divisor (float): By which the sum is divided, > 0.

    Returns:
        Variable: float32 or, of float64, float64, ().

    Raises:
        ValueError: if the divisor is not positive.
    """
    if not divisor > 0:
        raise ValueError(f"{name}: divisor must be > 0, got {divisor!r}")
    part = x if isinstance(x, GatheredInput) else whole(x)
    return FusedLoss(name, part, compute, divisor).apply(part.variables)[0]
