"""A loss that is one number, whose gradient is known as soon as it is: one function node for all of them."""

import chainer
import chainer.functions as F
import numpy as np
from chainer import backend, function_node


class SummedLoss(function_node.FunctionNode):
    """Compute a number from an array, and its gradient along with it.

    Args:
        name (str): Label in the graph.
        compute (callable): Array and whether a gradient is wanted, to the value and the gradient (or None).
    """

    def __init__(self, name, compute):
        super().__init__()
        self._name = name
        self._compute = compute

    @property
    def label(self):
        """Name shown in dumps of the graph."""
        return self._name

    def forward(self, inputs):
        """Compute the value; keep the gradient."""
        (x,) = inputs
        self.retain_inputs((0,))
        value, self._gradient = self._compute(x, chainer.config.enable_backprop)
        return (backend.get_array_module(x).asarray(value, dtype=x.dtype),)

    def backward(self, indexes, gys):
        """Scale the gradient."""
        return _Scaled(self._name, self._gradient).apply((*gys, *self.get_retained_inputs()))


class _Scaled(function_node.FunctionNode):
    """Scale the gradient; that it depends on the loss's input, too, is only there to be refused."""

    def __init__(self, name, array):
        super().__init__()
        self._name = name
        self._array = array

    def forward(self, inputs):
        gy, _ = inputs
        return (self._array * gy,)

    def backward(self, indexes, gys):
        raise NotImplementedError(f"{self._name}: there is no second derivative")


def summed_loss(name, x, compute):
    """Apply a loss to a variable; float16 is computed in float32.

    Args:
        name (str): Label in the graph.
        x (Variable or array): float16/32/64.
        compute (callable): See :class:`SummedLoss`.

    Returns:
        Variable: float32 or, of float64, float64, ().
    """
    if x.dtype == np.float16:
        x = F.cast(x, np.float32)
    return SummedLoss(name, compute).apply((x,))[0]
