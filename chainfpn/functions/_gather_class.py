"""Gathering one class per row from class-specific predictions."""

import math

from chainer import backend

from chainfpn._typing import Array, Variable
from chainfpn.functions._gathered_input import GatheredInput


def gather_class(x: Variable, row: Array, class_id: Array, shape: tuple[int, ...]) -> GatheredInput:
    """Gather from some rows the prediction for one class each.

    Args:
        x (Variable): (S, ...), in each row the numbers of each of K classes, one class after the other.
        row (array): integers, (P,), in [0, S).
        class_id (array): integers, (P,), in [0, K).
        shape (tuple of int): Shape of the prediction for one class, e.g. (4,) for a box.

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
    by_class = (len(x), math.prod(x_shape[1:]) // math.prod(shape), *shape)

    def gather(xs):
        return (xs[0].reshape(by_class)[row, class_id],)

    def scatter(gys):
        (gy,) = gys
        gx = xp.zeros(by_class, gy.dtype)
        xp.add.at(gx, (row, class_id), gy)
        return (gx.reshape(x_shape),)

    return GatheredInput("gather_class", (x,), (len(row), *shape), gather, scatter)
