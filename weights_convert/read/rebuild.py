"""Rebuilders of ours that stand for the functions a pickle may name, and the values they give."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weights_convert.errors import CheckpointError, translate
from weights_convert.read.placeholders import Global


class Rebuilder:
    """A function of ours behind a name of the allow-list.

    Args:
        name (str): The name in the pickle, for errors.
        function (callable): Takes the pickled arguments, gives an inert value.
        keeps (bool): Whether all that it is given is in that value.
    """

    __slots__ = ("_function", "keeps", "name")

    def __init__(self, name: str, function: Callable[..., Any], *, keeps: bool = False) -> None:
        self.name, self.keeps, self._function = name, keeps, function

    def rebuild(self, args: tuple[Any, ...]) -> Any:
        """Return what the pickled call stands for."""
        errors = (TypeError, ValueError, LookupError, AttributeError, OverflowError)
        with translate(errors, f"the pickle gives {self.name} arguments that do not fit it"):
            return self._function(*args)


@dataclass(frozen=True, slots=True)
class StorageType:
    """A class of torch storages: an element type, or ``None`` for bare bytes."""

    dtype: str | None


@dataclass(frozen=True, slots=True)
class DtypeName:
    """An element type of torch, by name."""

    name: str


class Rebuilt:
    """A value whose state comes after it in the pickle."""

    __slots__ = ()

    def set_state(self, state: Any) -> None:
        """Take the state; the base has none."""


def read_storage_key(key: Any) -> tuple[StorageType, str | int, int]:
    """Return type, name and number of elements out of the persistent id of a storage."""
    if not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage" or not isinstance(key[1], StorageType):
        raise CheckpointError("the pickle refers to something that is not a storage")
    _, kind, name, _, numel = key[:5]
    if not isinstance(name, (str, int)) or type(numel) is not int or numel < 0:
        raise CheckpointError("the pickle refers to a storage without a name or a size")
    return kind, name, numel


def would_call(function: Global) -> str:
    """Return the sentence that refuses a call."""
    return f"the pickle would call {function}, which is not one of the functions that rebuild tensors"
