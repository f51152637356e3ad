"""What went where: gathered during a conversion, shown at a glance, or as JSON."""

import json
from dataclasses import dataclass, field

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
        twins (list): Builders of models that have the very same tensors.
        arguments (dict): The builder's arguments.
        why (str): What the model was recognised by.
        mapped (dict): ``{name: [name in the file, shape, dtype]}``.
        dropped (dict): ``{name: reason}``.
        missing (list): Names the model needs and the file lacks, and nobody allowed.
        allowed (list): Names missing on purpose.
        unexpected (list): Names the file has and the model has no place for.
        misshapen (dict): ``{name: [shape in the file, shape in the model]}``.
        refused (dict): ``{name: reason}``: what stands where a tensor should.
        notes (list of str): Numeric steps and anything else a careful reader wants to know.
        nearest (list): ``[builder, number of names that differ, first names that do]``, where the model is not clear.
        written (str or None): The file that was written.
    """

    source: str
    format: str = ""
    entry: str = ""
    layout: str = ""
    model: str | None = None
    twins: list = field(default_factory=list)
    arguments: dict = field(default_factory=dict)
    why: str = ""
    mapped: dict = field(default_factory=dict)
    dropped: dict = field(default_factory=dict)
    missing: list = field(default_factory=list)
    allowed: list = field(default_factory=list)
    unexpected: list = field(default_factory=list)
    misshapen: dict = field(default_factory=dict)
    refused: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    nearest: list = field(default_factory=list)
    written: str | None = None

    @property
    def fits(self):
        """Whether nothing is missing, unexpected, misshapen or refused by accident."""
        return not (self.missing or self.unexpected or self.misshapen or self.refused)

    def problems(self):
        """Return every problem as a sentence that begins with the file's name."""
        lines = [f"{self.source}: {name} is {reason}" for name, reason in self.refused.items()]
        lines += [
            f"{self.source}: {name} has shape {tuple(a)} in the file, {tuple(b)} in the model"
            for name, (a, b) in self.misshapen.items()
        ]
        lines += [f"{self.source}: {name} is missing" for name in self.missing]
        lines += [f"{self.source}: {name} is in the file, the model has no place for it" for name in self.unexpected]
        return lines

    def to_json(self):
        """Return the report as a JSON object, indented."""
        return json.dumps(dict(vars(self).items()) | {"fits": self.fits}, indent=1, default=list)

    def to_text(self):
        """Return the report as a short text: counts first, at most a few names of each kind."""
        lines = [f"{self.source}: {self._what()}"]
        if not self.model:
            lines.append("  model       none of those known here; --model any converts it leaf by leaf")
        else:
            arguments = ", ".join(f"{key}={_brief(value)}" for key, value in self.arguments.items())
            lines.append(f"  model       {self.model}({arguments})")
        if self.twins:
            lines.append(f"  or          {', '.join(self.twins)}: the same tensors, --model tells")
        if self.why:
            lines.append(f"  because     {self.why}")
        lines.append(f"  mapped      {len(self.mapped)} tensors, {self._parameters():,} values, {self._dtypes()}")
        for title, names in (
            ("dropped", [f"{name} ({reason})" for name, reason in self.dropped.items()]),
            ("allowed", [f"{name} (missing on purpose)" for name in self.allowed]),
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            (
                "misshapen",
                [f"{n}: {tuple(a)} in the file, {tuple(b)} in the model" for n, (a, b) in self.misshapen.items()],
            ),
            ("refused", [f"{name} is {reason}" for name, reason in self.refused.items()]),
            ("note", self.notes),
        ):
            lines += _section(title, names)
        for builder, n, first in self.nearest:
            lines.append(f"  nearest     {builder}: {n} names differ, first {', '.join(first)}")
        if self.written:
            lines.append(f"  written     {self.written}")
        return "\n".join(lines)

    def _what(self):
        entry = f", entry {self.entry}" if self.entry else ""
        return f"{self.format}{entry}, names of {self.layout}" if self.layout else self.format + entry

    def _parameters(self):
        total = 0
        for _, shape, _ in self.mapped.values():
            size = 1
            for n in shape:
                size *= n
            total += size
        return total

    def _dtypes(self):
        counts = {}
        for _, _, dtype in self.mapped.values():
            counts[dtype] = counts.get(dtype, 0) + 1
        return (
            ", ".join(f"{n} {dtype}" for dtype, n in sorted(counts.items(), key=lambda item: -item[1])) or "no dtypes"
        )


def _section(title, names):
    if not names:
        return []
    shown = [f"  {title:<11} {len(names)}: {names[0]}"] + [f"  {'':<11}    {name}" for name in names[1:_SHOWN]]
    if len(names) > _SHOWN:
        shown.append(f"  {'':<11}    ... and {len(names) - _SHOWN} more (--json lists all)")
    return shown


def _brief(value):
    text = json.dumps(value)
    return text if len(text) <= 40 else f"[{len(value)} values]"
