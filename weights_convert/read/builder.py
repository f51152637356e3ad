"""Builders of ours that stand for what a pickle may name, and the values they give."""

from weights_convert.errors import CheckpointError


class Builder:
    """A function of ours behind a name of the allow-list.

    Args:
        name (str): The name in the pickle, for errors.
        function (callable): Takes the pickled arguments, gives an inert value.
    """

    __slots__ = ("_function", "name")

    def __init__(self, name, function):
        self.name, self._function = name, function

    def build(self, args):
        """Return what the pickled call stands for."""
        try:
            return self._function(*args)
        except (TypeError, IndexError, KeyError, AttributeError, OverflowError) as e:
            raise CheckpointError(f"the pickle gives {self.name} arguments that do not fit it") from e


class StorageType:
    """A class of torch storages: an element type, or ``None`` for bare bytes."""

    __slots__ = ("dtype",)

    def __init__(self, dtype):
        self.dtype = dtype


class DtypeName:
    """An element type of torch, by name."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name


class Rebuilt:
    """A value whose state comes after it in the pickle."""

    __slots__ = ()

    def set_state(self, state):
        """Take the state; the base has none."""
