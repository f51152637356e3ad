"""Renaming by tables: data, not code. First match wins; what matches nothing is reported, never guessed."""

import re
from dataclasses import dataclass

from weights_convert.errors import CheckpointError


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


def rename(tensors, table, report=None, *, keep_unmatched=True):
    """Apply a table to every name.

    Args:
        tensors (dict): ``{name: tensor}``.
        table (sequence of Rule): The rules.
        report (Report or None): Told about dropped tensors.
        keep_unmatched (bool): Whether names that match no rule stay as they are; otherwise they are prefixed with ``?``
            so that no model can mistake them for its own.

    Raises:
        CheckpointError: if two tensors end up under one name.
    """
    rules = [
        (re.compile(rule.pattern), rule)
        for rule in table
        if not (rule.unless and any(re.match(rule.unless, key) for key in tensors))
    ]
    result, origin = {}, {}
    for key, tensor in tensors.items():
        new = _rename_one(key, rules, report, keep_unmatched)
        if new is None:
            continue
        if new in result:
            raise CheckpointError(f"{origin[new]} and {key} would both become {new}")
        result[new], origin[new] = tensor, key
    return result


def _rename_one(key, rules, report, keep_unmatched):
    for pattern, rule in rules:
        match = pattern.match(key)
        if match is None:
            continue
        if rule.name is not None:
            return match.expand(rule.name) + key[match.end() :]
        if report is not None:
            report.dropped[key] = rule.why
        return None
    return key if keep_unmatched else f"?{key}"
