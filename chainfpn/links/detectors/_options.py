"""Attributes that are checked whenever they are set: by the constructor, or later."""

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

from chainfpn.errors import InvalidArgument


class Option:
    """An attribute whose value obeys a rule.

    Args:
        rule (str): What the value must be, as it reads after "must be".
        obeys (callable): Value to bool.
        convert (callable or None): What is stored of a value that obeys; the value itself by default.
    """

    name = ""

    def __init__(self, rule: str, obeys: Callable[[Any], bool], *, convert: Callable[[Any], Any] | None = None) -> None:
        self.rule, self.obeys, self.convert = rule, obeys, convert

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        try:
            return vars(instance)[self.name]
        except KeyError:
            raise AttributeError(f"{type(instance).__name__!r} object has no attribute {self.name!r}") from None

    def __set__(self, instance, value):
        if not self.obeys(value):
            raise InvalidArgument(type(instance).__name__, self.name, self.rule, value)
        vars(instance)[self.name] = value if self.convert is None else self.convert(value)


class Forwarded:
    """An attribute that is one of a part's.

    Args:
        part (str): The attribute that is the part.
    """

    def __init__(self, part: str) -> None:
        self.part = part

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        return self if instance is None else getattr(getattr(instance, self.part), self.name)

    def __set__(self, instance, value):
        setattr(getattr(instance, self.part), self.name, value)


def is_number(value: Any) -> bool:
    """Return whether a value is a real number, and not NaN."""
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Return whether a value is a whole number of 1 or more."""
    return is_whole(value) and value >= 1


def number() -> Option:
    """Make an option that is any number."""
    return Option("a number", is_number)


def iou() -> Option:
    """Make an option that is an IoU."""
    return Option("in 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)


def fraction() -> Option:
    """Make an option that is a share, not none."""
    return Option("> 0 and <= 1", lambda value: is_number(value) and 0 < value <= 1)


def positive() -> Option:
    """Make an option that is a finite number above 0."""
    return Option("> 0", lambda value: is_number(value) and 0 < value < math.inf)


def non_negative() -> Option:
    """Make an option that is a finite number of 0 or more."""
    return Option(">= 0", lambda value: is_number(value) and 0 <= value < math.inf)


def count() -> Option:
    """Make an option that is a whole number of 1 or more."""
    return Option("a whole number >= 1", is_count)


def whole() -> Option:
    """Make an option that is a whole number."""
    return Option("a whole number", is_whole)


def numbers(n: int) -> Option:
    """Make an option that is some finite numbers, kept as a tuple."""
    return Option(f"{n} numbers", lambda value: _has(value, n, is_number), convert=tuple)


def size() -> Option:
    """Make an option that is a height and a width in pixels, or None."""
    rule = "None or a height and a width >= 1"
    return Option(rule, lambda value: value is None or _has(value, 2, is_count), convert=lambda v: v and tuple(v))


def _has(value, n, kind):
    return isinstance(value, Sequence) and len(value) == n and all(map(kind, value))


def limit() -> Option:
    """Make an option that is a whole number of 1 or more, or None for no limit."""
    return Option("None or a whole number >= 1", lambda value: value is None or is_count(value))


def flag() -> Option:
    """Make an option that is True or False."""
    return Option("True or False", lambda value: isinstance(value, bool))


def one_of(*words: str) -> Option:
    """Make an option that is one of some words."""
    return Option(f"one of {', '.join(words)}", lambda value: value in words)
