"""What a loss looks at: a part of what a network says."""

from chainfpn.functions._linear_map import LinearMap


class GatheredInput:
    """A part of some variables, as one array.

    A loss takes it out of the arrays and puts its gradient back there itself, without a function node for that.

    Args:
        name (str): Label in the graph.
        variables (sequence of Variable or array): Of one dtype.
        shape (tuple of int): Shape of the part.
        take (callable): Tuple of arrays like the variables to a tuple of the part alone.
        put (callable): The transpose: tuple of an array like the part to arrays like the variables.
    """

    def __init__(self, name, variables, shape, take, put):
        self._name = name
        self.variables = tuple(variables)
        self.shape = shape
        self.take = take
        self.put = put

    @property
    def variable(self):
        """Variable: The part, for everything that is not a loss."""
        return LinearMap(self._name, self.take, self.put).apply(self.variables)[0]

    @property
    def dtype(self):
        """dtype: That of the variables."""
        return self.variables[0].dtype

    @property
    def ndim(self):
        """int: Number of axes of the part."""
        return len(self.shape)


def whole(x):
    """Make a part that is all of a variable."""
    return GatheredInput("whole", (x,), x.shape, lambda xs: xs, lambda gxs: gxs)
