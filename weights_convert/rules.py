"""Renaming by tables: data, not code. First match wins; what matches nothing is reported, never guessed."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from weights_convert._typing import Tensors
from weights_convert.errors import CheckpointError
from weights_convert.report import Report


@dataclass(frozen=True)
class Rule:
    r"""One way to rename.

    Attributes:
        pattern (str): A regular expression that the beginning of a name must match.
        name (str or None): What the match becomes, with ``\1``; ``None`` drops the tensor.
        why (str): The reason, for the report; required for a drop.
        unless (str): The rule rests when any name of the file matches this one.
    """

    pattern: str
    name: str | None
    why: str = ""
    unless: str = ""


def rename(tensors: Tensors, table: Sequence[Rule], report: Report, *, keep_unmatched: bool = True) -> Tensors:
    """Apply a table to every name.

    Args:
        tensors (dict): ``{name: tensor}``.
        table (sequence of Rule): The rules.
        report (Report): Takes down which tensors are dropped.
        keep_unmatched (bool): Whether names that match no rule stay as they are; otherwise they are prefixed with ``?``
            so that no model can mistake them for its own.

    Returns:
        dict: The tensors under their new names.

    Raises:
        CheckpointError: if two tensors end up under one name.
    """
    resting = {u for u in {rule.unless for rule in table} - {""} if any(re.match(u, key) for key in tensors)}
    active = [rule for rule in table if rule.unless not in resting]

    def rename_one(key: str) -> str | None:
        for rule in active:
            if match := re.match(rule.pattern, key):
                if rule.name is None:
                    report.dropped[key] = rule.why
                return None if rule.name is None else match.expand(rule.name) + key[match.end() :]
        return key if keep_unmatched else f"?{key}"

    return rename_each(tensors, rename_one)


def rename_each(tensors: Tensors, new_name: Callable[[str], str | None]) -> Tensors:
    """Give every tensor another name, or leave it out.

    Args:
        tensors (dict): ``{name: tensor}``.
        new_name (callable): Gives the new name, or None.

    Returns:
        dict: The tensors under their new names.

    Raises:
        CheckpointError: if two tensors end up under one name.
    """
    result: Tensors = {}
    origin: dict[str, str] = {}
    for key, tensor in tensors.items():
        new = new_name(key)
        if new in result:
            raise CheckpointError(f"{origin[new]} and {key} would both become {new}", names=(origin[new], key))
        if new is not None:
            result[new], origin[new] = tensor, key
    return result


def renames(names: Mapping[str, str]) -> list[Rule]:
    r"""Return the rules that replace beginnings of names. The way back is the same table read backwards.

    Args:
        names (dict): ``{old: new}``. ``*`` is any number, the same ones in both in the same order.

    Example:
        >>> (rule,) = renames({"res3.*.conv*.norm.": "layer2.*.bn*."})
        >>> rule.pattern, rule.name
        ('res3\\.(\\d+)\\.conv(\\d+)\\.norm\\.', 'layer2.\\1.bn\\2.')
    """
    return [Rule(re.escape(old).replace(r"\*", r"(\d+)"), _with_groups(new)) for old, new in names.items()]


def _with_groups(name: str) -> str:
    first, *others = name.split("*")
    return "".join([first, *(f"\\{i}{text}" for i, text in enumerate(others, 1))])


def modules(names: Mapping[str, str]) -> dict[str, str]:
    """Return a table of whole modules for `renames`."""
    return {f"{old}.": f"{new}." for old, new in names.items()}


def leaf_rules(names: Mapping[str, str], params: Mapping[str, str]) -> list[Rule]:
    """Return the rules that replace whole names of parameters.

    Args:
        names (dict): ``{module, as a regular expression: what it becomes}``.
        params (dict): ``{how the name of a parameter goes on behind it: what that becomes}``.
    """
    return [Rule(f"{old}{end}$", f"{new}{new_end}") for old, new in names.items() for end, new_end in params.items()]
