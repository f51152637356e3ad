"""What went where: gathered during a conversion, shown at a glance, or as JSON."""

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from weights_convert._typing import Json
from weights_convert.errors import ConversionError, few, printable
from weights_convert.options import ANY_MODEL

_SHOWN = 8


@dataclass
class Report:
    """The account of one conversion. Names are .npz names; `dropped` also has names of the layout, where a rule drops.

    Attributes:
        source (str): The file's name.
        format (str): Its container.
        entry (str): Where in it the state dict was.
        layout (str): Whose names it has.
        model (str or None): The builder it is for.
        ambiguous_with (list): Builders of models that have the very same tensors; ``twins`` in JSON.
        arguments (dict): The builder's arguments.
        label_names (list of str, str or None): Names of its labels, or the word for them.
        why (str): What the model was recognized by.
        mapped (dict): ``{name: [name in the file, shape, dtype]}``.
        dropped (dict): ``{name: reason}``.
        missing (list): Names the model needs and the file lacks, and nobody allowed.
        allowed (list): Names missing on purpose.
        unexpected (list): Names the file has and the model has no place for.
        misshapen (dict): ``{name: [shape in the file, shape in the model]}``.
        refused (dict): ``{name: reason}``: what stands where a tensor should.
        notes (list of str): Numeric steps and anything else a careful reader wants to know.
        nearest (list): ``[builder, number of names that differ, first names that do]``, where the model is not clear.
        assumed (list of str): What weights cannot say and nobody has said, such as ``"min_size 800"``.
        written (str or None): The file that was written.
    """

    source: str
    format: str = ""
    entry: str = ""
    layout: str = ""
    model: str | None = None
    ambiguous_with: list[str] = field(default_factory=list)
    arguments: Json = field(default_factory=dict)
    label_names: Any = None
    why: str = ""
    mapped: dict[str, list[Any]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: dict[str, list[Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    nearest: list[Any] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    written: str | None = None

    @property
    def fits(self) -> bool:
        """Whether nothing is missing, unexpected, misshapen or refused by accident."""
        return not (self.missing or self.unexpected or self.misshapen or self.refused)

    def problems(self) -> list[str]:
        """Return every problem as a sentence that begins with the file's name."""
        problems = [f"{name} is {reason}" for name, reason in self.refused.items()]
        for name, (found, wanted) in self.misshapen.items():
            problems.append(f"{name} has shape {tuple(found)} in the file, {tuple(wanted)} in the model")
        problems += [f"{name} is missing" for name in self.missing]
        problems += [f"{name} is in the file, the model has no place for it" for name in self.unexpected]
        return [f"{self.source}: {problem}" for problem in problems]

    def require_fit(self) -> None:
        """Raise one error that names everything that is wrong.

        Raises:
            ConversionError: if anything is missing, unexpected, misshapen or refused, or no model is known.
        """
        if self.model is None:
            nearest = [f"{builder} ({n} names differ, first {', '.join(first)})" for builder, n, first in self.nearest]
            near = f"nearest: {'; '.join(nearest)}" if nearest else "it has the names of none of them"
            remedy = f"--model {ANY_MODEL} converts it parameter by parameter"
            raise ConversionError(f"{self.source}: is none of the models known here ({near}); {remedy}", self)
        if self.fits:
            return
        problems, heads = self.problems(), {name.split("/")[0] for name in self.missing}
        only_head = len(problems) == len(self.missing) and len(heads) == 1
        remedy = f"; --allow-missing '{heads.pop()}/*' converts it without" if only_head else ""
        raise ConversionError("\n".join([f"{self.source}: does not fit {self.model}{remedy}", *problems]), self)

    def to_json(self) -> str:
        """Return the report as a JSON object, indented."""
        values = {"twins" if key == "ambiguous_with" else key: value for key, value in vars(self).items()}
        return json.dumps(values | {"fits": self.fits}, indent=1, default=list)

    def to_text(self) -> str:
        """Return the report as a short text: counts first, at most a few names of each kind."""
        entry = f", entry {self.entry}" if self.entry else ""
        layout = f", names of {self.layout}" if self.layout else ""
        model = "none of those known here; --model any converts it parameter by parameter"
        if self.model:
            model = f"{self.model}({', '.join(f'{key}={_brief(value)}' for key, value in self.arguments.items())})"
        n_values = sum(math.prod(shape) for _, shape, _ in self.mapped.values())
        dtypes = Counter(dtype for _, _, dtype in self.mapped.values()).most_common()
        counts = ", ".join(f"{n} {dtype}" for dtype, n in dtypes) or "no dtypes"
        ambiguous = f"{', '.join(self.ambiguous_with)}: the same tensors, --model tells"
        facts = [
            ("model", model),
            ("labels", _labels(self.label_names)),
            ("or", ambiguous if self.ambiguous_with else ""),
            ("because", self.why),
            ("mapped", f"{len(self.mapped)} tensors, {n_values:,} values, {counts}"),
        ]
        lines = [f"{self.source}: {self.format}{entry}{layout}"]
        lines += [f"  {title:<11} {fact}" for title, fact in facts if fact]
        lines += self._sections()
        for builder, n, first in self.nearest:
            lines.append(f"  nearest     {builder}: {n} names differ, first {', '.join(first)}")
        lines += [f"  assumed     {', '.join(self.assumed)}"] if self.assumed else []
        return "\n".join(lines + ([f"  written     {self.written}"] if self.written else []))

    def _sections(self) -> list[str]:
        misshapen = self.misshapen.items()
        sections = {
            "dropped": [f"{name} ({reason})" for name, reason in self.dropped.items()],
            "allowed": [f"{name} (missing on purpose)" for name in self.allowed],
            "missing": self.missing,
            "unexpected": self.unexpected,
            "misshapen": [f"{n}: {tuple(a)} in the file, {tuple(b)} in the model" for n, (a, b) in misshapen],
            "refused": [f"{name} is {reason}" for name, reason in self.refused.items()],
            "note": self.notes,
        }
        lines = []
        for title, names in sections.items():
            shown = [f"{len(names)}: {names[0]}", *(f"   {name}" for name in names[1:_SHOWN])] if names else []
            more = [f"   ... and {len(names) - _SHOWN} more (--json lists all)"] if len(names) > _SHOWN else []
            lines += [f"  {'' if i else title:<11} {line}" for i, line in enumerate(shown + more)]
        return lines


def _labels(names: Any) -> str:
    """Return names of labels for a line; those of a file may be anything."""
    names = names.split() if isinstance(names, str) else names
    return printable(few(list(map(str, names)), most=10)) if isinstance(names, list) else ""


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"[{len(value)} values]"
