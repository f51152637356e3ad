"""Errors that say which argument of what is wrong, by which rule, and with which value."""

import pickle


class _Invalid(Exception):
    """What both errors have: the sentence, and its parts as attributes.

    Args:
        where (str): The function or class, or the file.
        field (str): The argument.
        rule (str): What it must be, as it reads after "must be", or what it must have: ``"have ..."``.
        value (object): What was given.
        got (str or None): How the value is shown; its ``repr`` by default.
    """

    def __init__(self, where: str, field: str, rule: str, value: object, *, got: str | None = None) -> None:
        self.where, self.field, self.rule, self.value = where, field, rule, value
        self.got = repr(value) if got is None else got
        super().__init__(f"{where}: {self.problem}")

    @property
    def problem(self) -> str:
        """The sentence without the function: str."""
        rule = self.rule if self.rule.startswith("have ") else f"be {self.rule}"
        return f"{self.field} must {rule}, got {self.got}"

    def __reduce__(self):
        value = self.value
        try:
            pickle.dumps(value)
        except Exception:  # whatever it is, the sentence reaches the process that waits for it
            value = self.got
        return _restore, (type(self), self.where, self.field, self.rule, value, self.got)


def _restore(kind, where, field, rule, value, got):
    return kind(where, field, rule, value, got=got)


class InvalidArgument(_Invalid, ValueError):
    """An argument is of the right type and breaks a rule.

    Attributes:
        where (str): The function or class, or the file.
        field (str): The argument.
        rule (str): What it must be.
        value (object): What was given.
        problem (str): The sentence without the function.

    Example:
        >>> raise InvalidArgument("roi_pool", "spatial_scale", "> 0", -0.5)
        Traceback (most recent call last):
        chainfpn.errors.InvalidArgument: roi_pool: spatial_scale must be > 0, got -0.5
    """


class InvalidType(_Invalid, TypeError):
    """An argument is of another type than it must be; the attributes are those of :class:`InvalidArgument`."""
