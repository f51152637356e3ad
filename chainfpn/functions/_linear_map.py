"""A linear operation as a function node: it is its own derivative, so any order of gradient exists."""

import chainer
from chainer import backend, function_node


class LinearMap(function_node.FunctionNode):
    """Apply a linear map of arrays; the gradient applies its transpose, which is a linear map again.

    Args:
        name (str): Label in the graph.
        forward (callable): Tuple of arrays to tuple of arrays.
        transpose (callable): Arrays like the outputs to arrays like the inputs.
    """

    def __init__(self, name, forward, transpose):
        super().__init__()
        self._name = name
        self._forward = forward
        self._transpose = transpose

    @property
    def label(self):
        """Name shown in dumps of the graph."""
        return self._name

    def forward(self, inputs):
        """Apply the map."""
        outputs = self._forward(inputs)
        self._outputs = [(y.shape, y.dtype) for y in outputs]
        self._xp = backend.get_array_module(*inputs)
        return outputs

    def backward(self, indexes, gys):
        """Apply the transpose; an output that nothing depends on counts as zero."""
        gys = [
            chainer.Variable(self._xp.zeros(shape, dtype)) if gy is None else gy
            for gy, (shape, dtype) in zip(gys, self._outputs, strict=True)
        ]
        return LinearMap(f"grad of {self._name}", self._transpose, self._forward).apply(gys)


def linear_map(name, x, forward, transpose):
    """Apply a linear map of one array to a variable.

    Args:
        name (str): Label in the graph.
        x (Variable or array): The input.
        forward (callable): Array to array.
        transpose (callable): Array like the output to array like the input.

    Returns:
        Variable: ``forward(x)``.
    """
    return LinearMap(name, lambda xs: (forward(xs[0]),), lambda gys: (transpose(gys[0]),)).apply((x,))[0]
