"""A layout: how a library's names are recognized and become torchvision's."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from weights_convert._typing import Json, Tensors
from weights_convert.layouts import torchvision
from weights_convert.report import Report
from weights_convert.rules import Rule, rename
from weights_convert.tensor_fixups import CAFFE_INPUT

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
        return all(any(map(re.compile(pattern).fullmatch, names)) for pattern in self.signature)

    def apply(self, tensors: Tensors, report: Report, *, input_kind: str | None = None) -> Tensors:
        """Return the tensors under torchvision's (older, flat) names.

        Args:
            tensors (dict): ``{name: tensor}``.
            report (Report): Takes down what is done.
            input_kind (str or None): ``"caffe"`` or ``"torchvision"``, where that is not this library's usual input.
        """
        tensors = rename(tensors, self.table, report, keep_unmatched=not self.complete)
        fixups = [fixup for fixup in self.fixups if input_kind is None or fixup not in CAFFE_INPUT]
        for fixup in (*fixups, *(CAFFE_INPUT if input_kind == "caffe" else ())):
            tensors = fixup(tensors, report)
        report.notes += self.differs
        return rename(tensors, torchvision.FLATTEN, report)
