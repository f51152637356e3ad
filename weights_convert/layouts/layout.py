"""A layout: how a library's names are recognized and become torchvision's."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from weights_convert._typing import Json, Tensors
from weights_convert.layouts import torchvision
from weights_convert.report import Report
from weights_convert.rules import Rule, rename

Fixup = Callable[[Tensors, Report], Tensors]


@dataclass(frozen=True)
class Layout:
    """Names of one library.

    Attributes:
        name (str): As the report says it.
        signature (tuple of str): Regular expressions; a file has this layout if each matches one of its names in full.
        table (tuple of Rule): To torchvision's names.
        fixups (tuple of callable): ``fixup(tensors, report)`` each, in torchvision's names.
        complete (bool): Whether a name that matches no rule is unknown (it is reported, and fits no model).
        chainer_names (bool): Whether the table takes Chainer's names, with ``/``.
        arguments (dict): What this library's models do differently, as arguments of the builder.
        any_trunk (bool): Whether only the builder of detectors on any ResNet takes these arguments, the one for
            torchvision's detectors on a ResNet-50 does not.
        differs (tuple of str): What they do differently beside, for the report.
    """

    name: str
    signature: tuple[str, ...]
    table: tuple[Rule, ...] = ()
    fixups: tuple[Fixup, ...] = ()
    complete: bool = False
    chainer_names: bool = False
    arguments: Json = field(default_factory=dict)
    any_trunk: bool = False
    differs: tuple[str, ...] = ()

    def fits(self, names: Iterable[str]) -> bool:
        """Return whether the names have the signature."""
        return all(any(re.fullmatch(pattern, name) for name in names) for pattern in self.signature)

    def apply(self, tensors: Tensors, report: Report) -> Tensors:
        """Return the tensors under torchvision's (older, flat) names."""
        tensors = rename(tensors, self.table, report, keep_unmatched=not self.complete)
        for fixup in self.fixups:
            tensors = fixup(tensors, report)
        report.notes += self.differs
        return rename(tensors, torchvision.FLATTEN, report)
