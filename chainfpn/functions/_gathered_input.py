"""What a loss looks at: elements gathered from the outputs of a network."""

from collections.abc import Callable, Sequence

import numpy as np

from chainfpn._typing import Variable
from chainfpn.functions._linear_map import LinearMap


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
