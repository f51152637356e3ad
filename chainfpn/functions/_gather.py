"""Gathering for a loss: rows from the levels of a dense head, or the numbers of one class of each row."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from chainer import backend

from chainfpn._typing import Array, Variable
from chainfpn.functions._linear_map import LinearMap
from chainfpn.functions.kernels import cuda_gather


class GatheredInput:
    """Elements of some variables, as one array.

    A loss gathers them from the arrays and scatters its gradient back itself, without a function node for that.

    Args:
        name (str): Label in the graph.
        variables (sequence of Variable or array): Of one dtype.
        shape (tuple of int): Shape of what is gathered.
        gather (callable): Tuple of arrays like the variables to a tuple of the gathered array alone.
        scatter (callable): The transpose: tuple of an array like the gathered one to arrays like the variables.
    """

    def __init__(
        self, name: str, variables: Sequence[Variable], shape: tuple[int, ...], gather: Callable, scatter: Callable
    ) -> None:
        self._name, self.variables, self.shape = name, tuple(variables), shape
        self.gather, self.scatter = gather, scatter

    @property
    def variable(self) -> Variable:
        """Variable: The gathered elements, for everything that is not a loss."""
        return LinearMap(self._name, self.gather, self.scatter).apply(self.variables)[0]

    @property
    def dtype(self) -> np.dtype:
        """dtype: That of the variables."""
        return self.variables[0].dtype

    @property
    def ndim(self) -> int:
        """int: Number of axes of what is gathered."""
        return len(self.shape)


def gather(xs: list[Variable], rows: Array) -> GatheredInput:
    """Gather rows from all levels as if they were concatenated, without concatenating them.

    Row r is anchor r % N of image r // N, where N is the number of anchors of all levels, the first level's first.

    Args:
        xs (list of Variable): Per level, (B, N_l, ...), of one dtype.
        rows (array): integers, (R,), in [0, B * N).

    Returns:
        GatheredInput: dtype of xs, (R, ...), for a loss; its ``variable`` is for everything else.

    Example:
        >>> import numpy as np
        >>> fine, coarse = np.array([[0, 1, 2], [4, 5, 6]], np.float32), np.array([[3], [7]], np.float32)
        >>> gather([fine, coarse], np.array([3, 4, 7])).variable.array
        array([3., 4., 7.], dtype=float32)
    """
    shapes = [x.shape for x in xs]
    if backend.get_array_module(rows) is np:
        gather_rows, scatter = _by_level(rows, shapes)
    else:

        def gather_rows(xs):
            return (cuda_gather.gather(xs, rows),)

        def scatter(gys):
            return cuda_gather.scatter(gys[0], rows, shapes)

    return GatheredInput("gather", xs, (len(rows), *shapes[0][2:]), gather_rows, scatter)


def _by_level(rows, shapes):
    """Make what gathers and scatters NumPy arrays."""
    ends = list(itertools.accumulate(shape[1] for shape in shapes))
    image, anchor = np.divmod(rows, max(ends[-1], 1))
    level = np.searchsorted(ends, anchor, side="right")
    parts = []  # per level, the rows that are in it, and their places with all images flattened
    for i, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        (here,) = np.nonzero(level == i)
        parts.append((here, image[here] * (end - start) + anchor[here] - start))

    def gather_rows(xs):
        y = np.empty((len(rows), *shapes[0][2:]), xs[0].dtype)
        for x, (here, place) in zip(xs, parts, strict=True):
            y[here] = x.reshape(-1, *x.shape[2:])[place]
        return (y,)

    def scatter(gys):
        (gy,) = gys
        gxs = [np.zeros((shape[0] * shape[1], *shape[2:]), gy.dtype) for shape in shapes]
        for gx, (here, place) in zip(gxs, parts, strict=True):
            np.add.at(gx, place, gy[here])
        return tuple(gx.reshape(shape) for gx, shape in zip(gxs, shapes, strict=True))

    return gather_rows, scatter


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
