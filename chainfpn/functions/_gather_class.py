"""Choosing of a layer's outputs those of one class per row."""

import math

from chainer import backend

from chainfpn.functions._gathered_input import GatheredInput


def gather_class(x, row, output, shape):
    """Take of some rows what belongs to one output each.

    Args:
        x (Variable): (S, ...), in each row K times the numbers of one output, one output after the other.
        row (array): integers, (P,), in [0, S).
        output (array): integers, (P,), in [0, K).
        shape (tuple of int): What belongs to one output, (4,) for a box, say.

    Returns:
        GatheredInput: dtype of x, (P, *shape), for a loss; its ``variable`` is for everything else.

    Example:
        >>> import numpy as np
        >>> boxes = np.array([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]])  # two numbers for each of two classes
        >>> gather_class(boxes, np.array([0, 1, 1]), np.array([1, 0, 1]), (2,)).variable.array
        array([[2., 3.],
               [4., 5.],
               [6., 7.]])
    """
    xp = backend.get_array_module(row)
    x_shape = x.shape
    by_output = (len(x), math.prod(x_shape[1:]) // math.prod(shape), *shape)

    def take(xs):
        return (xs[0].reshape(by_output)[row, output],)

    def put(gys):
        (gy,) = gys
        gx = xp.zeros(by_output, gy.dtype)
        xp.add.at(gx, (row, output), gy)
        return (gx.reshape(x_shape),)

    return GatheredInput("gather_class", (x,), (len(row), *shape), take, put)
