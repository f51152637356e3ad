"""detectron2's matching heuristics: a file may leave out how the names of a model begin."""

import re
from collections.abc import Iterable, Iterator

from weights_convert.layouts import _detectron2

_DETECTORS = [layout for layout in _detectron2.LAYOUTS if "rules" in layout.arguments]


def complete_names(names: Iterable[str]) -> dict[str, str]:
    """Return the names in full, if they are of a detector of detectron2 then; else as they are.

    Args:
        names (iterable of str): Those of a file that says ``matching_heuristics``.

    Returns:
        dict: ``{name: name in full}``. A name that could be that of several tensors stays, and is reported as unknown.
    """
    names = list(names)
    for layout in _DETECTORS:
        tails = list(_tails(layout.names))
        full = {name: _complete(name, tails) for name in names}
        if layout.fits(full.values()) and not layout.fits(names):
            return full
    return {name: name for name in names}


def _tails(modules: Iterable[str]) -> Iterator[tuple[re.Pattern[str], str]]:
    """Yield what names may begin with, whole or behind any dot, and what is left out before that."""
    for module in modules:
        parts = module.removesuffix(".").split(".")
        for i in range(len(parts)):
            tail = re.escape(".".join(parts[i:]) + ".").replace(r"\*", r"\d+")
            yield re.compile(tail + r"[^.]+"), "".join(f"{part}." for part in parts[:i])


def _complete(name: str, tails: list[tuple[re.Pattern[str], str]]) -> str:
    heads = {head for pattern, head in tails if pattern.fullmatch(name)}
    return heads.pop() + name if len(heads) == 1 and not any("*" in head for head in heads) else name
