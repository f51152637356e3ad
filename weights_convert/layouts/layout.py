"""A layout: how a library's names are recognised and led to torchvision's."""

import re
from dataclasses import dataclass, field

from weights_convert.layouts import torchvision
from weights_convert.rules import rename


@dataclass(frozen=True)
class Layout:
    """Names of one library.

    Attributes:
        name (str): As the report says it.
        signs (tuple of str): Regular expressions; a file has this layout if each matches one of its names in full.
        table (tuple of Rule): To torchvision's names.
        steps (tuple of callable): Numeric steps, ``step(tensors, report)`` each, in torchvision's names.
        complete (bool): Whether a name that matches no rule is unknown (it is reported, and fits no model).
        chainer_names (bool): Whether the table takes Chainer's names, with ``/``.
        arguments (dict): What this library's models do differently, as arguments of the builder.
        any_trunk (bool): Whether only the builder of detectors on any ResNet takes these arguments, the one for
            torchvision's detectors on a ResNet-50 does not.
        differs (tuple of str): What they do differently beside, for the report.
    """

    name: str
    signs: tuple
    table: tuple = ()
    steps: tuple = ()
    complete: bool = False
    chainer_names: bool = False
    arguments: dict = field(default_factory=dict)
    any_trunk: bool = False
    differs: tuple = ()

    def fits(self, names):
        """Return whether the names have all the signs."""
        return all(any(re.fullmatch(sign, name) for name in names) for sign in self.signs)

    def apply(self, tensors, report):
        """Return the tensors under torchvision's (older, flat) names."""
        tensors = rename(tensors, self.table, report, keep_unmatched=not self.complete)
        for step in self.steps:
            tensors = step(tensors, report)
        report.notes += self.differs
        return rename(tensors, torchvision.FLATTEN, report)
