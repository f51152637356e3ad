"""A layout: how a library's names are recognized and become torchvision's."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from weights_convert._typing import Json, Tensors
from weights_convert.errors import CheckpointError
from weights_convert.layouts import torchvision
from weights_convert.report import Report
from weights_convert.rules import Rule, rename, renames
from weights_convert.tensor_fixups import CAFFE_INPUT, fill_folded_norms

Fixup = Callable[[Tensors, Report], Tensors]

#: What detectron2 is told where a trunk is torchvision's.
TORCHVISION_INPUT: Json = {
    "stride_in_1x1": False,
    "channel_order": "RGB",
    "image_mean": [123.675, 116.28, 103.53],
    "image_std": [58.395, 57.12, 57.375],
}

#: Rules that a framework's weights follow as they are, and those whose input is folded into the first convolution.
_OWN_RULES = {"mmdetection": ("mmdetection", "mmdetection_caffe")}
_FOLDED_INPUT = ("torchvision", "chainercv")

_STATISTICS = "input statistics, which the rules or --meta image_mean and image_std say"

_OTHER_RULES = "by the rules of {}, as asked for: boxes are near those of the library that trained it, not the same"


def input_statistics(pattern: str) -> Rule:
    """Return the rule that drops the tensors of input statistics by their names."""
    return Rule(pattern, None, _STATISTICS)


@dataclass(frozen=True)
class Layout:
    """Names of one library.

    Attributes:
        name (str): As the report says it.
        signature (tuple of str): Regular expressions; a file has this layout if each matches one of its names in full.
        table (tuple of Rule): What becomes torchvision's, or is left out: one way.
        names (dict): ``{name: torchvision's name}``, both ways, see `weights_convert.rules.renames`.
        fixups (tuple of callable): ``fixup(tensors, report)`` each, in torchvision's names.
        undo (tuple of callable): Likewise, on the way back, before the names.
        complete (bool): Whether a name that matches no rule is unknown (it is reported, and fits no model).
        chainer_names (bool): Whether the table takes Chainer's names, with ``/``.
        arguments (dict): What this library's models do differently, as arguments of the builder.
        resnext (dict): The same of those on a ResNeXt.
        labels_from_zero (bool): Whether its labels are its outputs without the background, none left out.
        any_trunk (bool): Whether only the builder of detectors on any ResNet takes these arguments, the one for
            torchvision's detectors on a ResNet-50 does not.
        caffe_input (bool): Whether its images are Caffe's, and the first convolution is made one for torchvision's.
        differs (tuple of str): What they do differently beside, for the report.
        refusal (str): Why none of its models is converted, where that is so.
        left_out (dict): ``{name: reason}`` of what stands beside the model in this one file.
    """

    name: str
    signature: tuple[str, ...]
    table: tuple[Rule, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    fixups: tuple[Fixup, ...] = ()
    undo: tuple[Fixup, ...] = ()
    complete: bool = False
    chainer_names: bool = False
    arguments: Json = field(default_factory=dict)
    resnext: Json = field(default_factory=dict)
    labels_from_zero: bool = False
    any_trunk: bool = False
    caffe_input: bool = False
    differs: tuple[str, ...] = ()
    refusal: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)

    def fits(self, names: Iterable[str]) -> bool:
        """Return whether the names have the signature."""
        return all(any(map(re.compile(pattern).fullmatch, names)) for pattern in self.signature)

    def under(self, wanted: Json) -> "Layout":
        """Return the layout for the rules and the input that somebody wants, or whose configuration says so.

        Args:
            wanted (dict): May have ``rules``, ``norm``, and ``input``: ``"caffe"`` or ``"torchvision"``.

        Raises:
            CheckpointError: if the rules are of a framework whose input these weights are not for.
        """
        if wanted.get("norm") == "group":  # which has no statistics
            fixups = tuple(fixup for fixup in self.fixups if fixup is not fill_folded_norms)
            return replace(self, fixups=fixups).under({**wanted, "norm": None})
        kind, own = wanted.get("input"), self.arguments.get("rules")
        rules = wanted.get("rules", own)
        if own is not None and rules not in (allowed := (*_OWN_RULES.get(own, (own,)), *_FOLDED_INPUT)):
            words = ", ".join(dict.fromkeys(allowed))
            raise CheckpointError(f"--meta rules must be one of {words} for the names of {self.name}, got {rules!r}")
        if own is not None and (rules == own or rules not in _FOLDED_INPUT):
            rules = "mmdetection_caffe" if (own, kind) == ("mmdetection", "caffe") else rules
            arguments = self.arguments | {"rules": rules}
            arguments |= TORCHVISION_INPUT if (own, kind) == ("detectron2", "torchvision") else {}
            return replace(self, arguments=arguments, caffe_input=False)
        caffe_input = kind == "caffe" or (kind is None and self.caffe_input)
        stride: Json = {"stride_in_1x1": True} if caffe_input else {}
        arguments = {key: value for key, value in self.arguments.items() if key != "rules"} | stride
        differs = self.differs if own is None else (_OTHER_RULES.format(rules),)
        resnext = dict.fromkeys(stride, False)
        return replace(self, arguments=arguments, caffe_input=caffe_input, differs=differs, resnext=resnext)

    def apply(self, tensors: Tensors, report: Report) -> Tensors:
        """Return the tensors under torchvision's (older, flat) names.

        Args:
            tensors (dict): ``{name: tensor}``.
            report (Report): Takes down what is done.

        Raises:
            CheckpointError: if there is no model of this layout.
        """
        if self.refusal:
            raise CheckpointError(self.refusal)
        report.dropped |= {name: self.left_out[name] for name in tensors if name in self.left_out}
        tensors = {name: tensor for name, tensor in tensors.items() if name not in self.left_out}
        tensors = rename(tensors, (*self.table, *renames(self.names)), report, keep_unmatched=not self.complete)
        for fixup in (*self.fixups, *(CAFFE_INPUT if self.caffe_input else ())):
            tensors = fixup(tensors, report)
        report.notes += self.differs
        return rename(tensors, torchvision.FLATTEN, report)

    def own_names(self, names: Iterable[str]) -> dict[str, str] | None:
        """Return ``{torchvision's name: this library's}``, or ``None`` if one of the names is unknown here."""
        back = [(re.compile(rule.pattern), rule.name or "") for rule in renames({n: o for o, n in self.names.items()})]
        found = {}
        for name in names:
            match, new = next(((m, new) for pattern, new in back if (m := pattern.match(name))), (None, ""))
            if match is None:
                return None
            found[name] = match.expand(new) + name[match.end() :]
        return found
