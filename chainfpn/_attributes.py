"""Attributes that keep their rule when they are set later."""

from collections.abc import Callable
from typing import Any

from chainfpn.errors import InvalidArgument


class _Attribute:
    """An attribute of an instance, under its own name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        return self if instance is None else vars(instance)[self.name]


class Checked(_Attribute):
    """An attribute whose values obey a rule; setting another raises.

    Args:
        rule (str): What it must be, as in :class:`~chainfpn.errors.InvalidArgument`.
        holds (callable): From a value to whether it obeys.

    Example:
        >>> class Crop:
        ...     probability = Checked("in 0..1", lambda value: 0 <= value <= 1)
        >>> Crop().probability = 2
        Traceback (most recent call last):
        chainfpn.errors.InvalidArgument: Crop: probability must be in 0..1, got 2
    """

    def __init__(self, rule: str, holds: Callable[[Any], bool]) -> None:
        self.rule, self.holds = rule, holds

    def __set__(self, instance: object, value: Any) -> None:
        if not self.holds(value):
            raise InvalidArgument(type(instance).__name__, self.name, self.rule, value)
        vars(instance)[self.name] = value


class Fraction(Checked):
    """An attribute in 0..1, such as a probability."""

    def __init__(self) -> None:
        super().__init__("in 0..1", lambda value: 0 <= value <= 1)


class Fixed(_Attribute):
    """An attribute that the constructor sets, once; setting another value raises an AttributeError."""

    def __set__(self, instance: object, value: Any) -> None:
        if self.name in vars(instance):
            raise AttributeError(f"{type(instance).__name__}: {self.name} must be set by the constructor")
        vars(instance)[self.name] = value
