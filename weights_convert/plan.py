"""Decide what becomes of every tensor of a checkpoint, before any value is read."""

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from weights_convert import leaf, numeric
from weights_convert.architectures import candidates
from weights_convert.errors import CheckpointError, ConversionError, printable
from weights_convert.layouts import find_layout
from weights_convert.read.contents import naming, open_checkpoint
from weights_convert.read.tensor import DTYPES, REFUSED_DTYPES, Tensor, Unsupported
from weights_convert.report import Report
from weights_convert.state import find_state

#: The name under which a model that nobody knows is converted leaf by leaf.
ANY_MODEL = "any"

#: Prefixes that wrappers put before every name: DistributedDataParallel, torch.compile, Lightning.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "updater/model:main/model/", "updater/model:main/")

#: How a model's own names begin, which tells them from what a wrapper has put before them.
_ROOTS = ("conv1.", "conv1/", "backbone.", "backbone/", "stem.", "extractor/", "encoder_q.", "base_encoder.")

_FLOATS = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True)
class Options:
    """What the user asks for beside the file. Globs match .npz names."""

    model: str | None = None
    drop: tuple = ()
    allow_missing: tuple = ()
    only: str | None = None
    rename: tuple = ()
    dtype: str | None = None
    entry: str | None = None
    meta: dict = field(default_factory=dict)


@dataclass
class Plan:
    """What will be written.

    Attributes:
        contents (Contents): The open file.
        tensors (dict): ``{npz name: Tensor}``.
        dtype (str or None): What floating-point tensors become; ``None`` keeps theirs.
        report (Report): The account so far.
    """

    contents: object
    tensors: dict = field(default_factory=dict)
    dtype: str | None = None
    report: Report = None


def make_plan(path, options):
    """Read a checkpoint's names and shapes and decide. Never raises for a misfit: see `require_fit`.

    Raises:
        CheckpointError: if the file cannot be read, holds no state dict, or two tensors would get one name.
    """
    contents = open_checkpoint(path)
    report = Report(contents.source.name, contents.format)
    with naming(contents.source.name):
        state = find_state(contents.tree, options.entry)
        report.entry = state.entry
        if state.beside:
            report.notes.append(printable(f"beside it in the file: {', '.join(state.beside[:10])}"))
        if state.not_tensors:
            report.notes.append(printable(f"no tensors, left out: {', '.join(state.not_tensors[:10])}"))
        tensors, layout = _lead_to_torchvision(state.tensors, report, options.meta)
        whole = _user_names(tensors, options)
        named, origin = _select(tensors, whole, options, report)
        plan = Plan(contents, dtype=options.dtype, report=report)
        _refuse(named, report)
        _fit(named, {new: tensors[name] for name, (_, new) in whole.items()}, options, report)
        report.arguments |= layout.arguments
        if layout.any_trunk and report.model is not None:
            report.model = report.model.replace("_resnet50_", "_resnet_")
        plan.tensors = {name: tensor for name, tensor in named.items() if isinstance(tensor, Tensor)}
        _describe(plan, origin)
    return plan


def require_fit(plan):
    """Raise one error that names everything wrong with a plan.

    Raises:
        ConversionError: if anything is missing, unexpected, misshapen or refused, or no model is known.
    """
    report = plan.report
    if report.model is None:
        known = "; ".join(
            f"{builder} ({n} names differ, first {', '.join(first)})" for builder, n, first in report.nearest
        )
        near = f"nearest: {known}" if known else "it has the names of none of them"
        raise ConversionError(
            f"{report.source}: is none of the models known here ({near}); --model {ANY_MODEL} converts it leaf by leaf",
            report,
        )
    if not report.fits:
        problems = report.problems()
        raise ConversionError("\n".join([f"{report.source}: does not fit {report.model}", *problems]), report)


def _lead_to_torchvision(tensors, report, meta):
    tensors = unwrap(tensors)
    if any("/" in name for name in tensors):
        tensors = dict(sorted(tensors.items()))  # Chainer saves in an order that changes from run to run
    layout = find_layout(tensors)
    if layout.name == "torchvision":
        tensors = _without_common_prefix(tensors)
        layout = find_layout(tensors)
    report.layout = layout.name
    if any("/" in name for name in tensors) and not layout.chainer_names:
        report.layout = "Chainer"
        tensors = {leaf.to_torch(name): tensor for name, tensor in tensors.items()}
    tensors = layout.apply(tensors, report)
    if meta.get("input") == "caffe":
        tensors = numeric.fold_caffe_scale(numeric.flip_bgr(tensors, report), report)
    return tensors, layout


def _without_common_prefix(tensors):
    """Take off what stands before every name, such as the attribute a LightningModule keeps its network in."""
    inside = tensors
    while len(firsts := {re.match(r"[^./]*[./]?", name)[0] for name in inside}) == 1 and len(inside) > 1:
        (first,) = firsts
        inside = {name.removeprefix(first): tensor for name, tensor in inside.items()}
        if any(name.startswith(_ROOTS) for name in inside):
            tensors = inside
    return tensors


def unwrap(tensors):
    """Take off the prefixes that wrappers put before every name."""
    stripped = True
    while stripped:
        stripped = False
        for prefix in _WRAPPERS:
            inside = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            if inside and (len(inside) == len(tensors) or prefix.startswith("updater/")):
                tensors, stripped = inside, True
    return tensors


def _user_names(tensors, options):
    """Return ``{torchvision's name: (npz name, npz name after --rename)}``."""
    ndims = {name: len(t.shape) if isinstance(t, Tensor) else 0 for name, t in tensors.items()}
    return {source: (name, _user_rename(name, options.rename)) for source, name in leaf.to_chainer(ndims).items()}


def _select(tensors, whole, options, report):
    """Return ``({npz name: tensor}, {npz name: torchvision's name})`` of what the user wants."""
    named, origin = {}, {}
    for source, (name, new) in whole.items():
        glob = next((glob for glob in options.drop if fnmatchcase(name, glob)), None)
        if glob is not None:
            report.dropped[name] = f"--drop {glob}"
        elif options.only is not None and not name.startswith(options.only):
            report.dropped[name] = f"not under --only {options.only}"
        elif new in named:
            raise CheckpointError(f"{origin[new]} and {source} would both become {new}")
        else:
            named[new], origin[new] = tensors[source], source
    if not named:
        raise CheckpointError("nothing is left to convert")
    return named, origin


def _user_rename(name, pairs):
    for old, new in pairs:
        if name.startswith(old):
            return new + name[len(old) :]
    return name


def _refuse(named, report):
    for name, tensor in named.items():
        if isinstance(tensor, Unsupported):
            report.refused[name] = tensor.reason
        elif tensor.dtype in REFUSED_DTYPES:
            report.refused[name] = f"of dtype {tensor.dtype}, which no Chainer model can hold"


def _shapes(named):
    return {leaf.to_torch(name): getattr(tensor, "shape", ()) for name, tensor in named.items()}


def _fit(named, whole, options, report):
    """Recognise the model by all that the file has, and compare it with what the user wants of it."""
    if options.model == ANY_MODEL:
        report.model, report.why = ANY_MODEL, "asked for: every leaf is renamed, no model is compared"
        return
    shapes, everything = _shapes(named), _shapes(whole)
    found = sorted(candidates(everything) + candidates(shapes), key=lambda c: c.distance(shapes))
    wanted = [c for c in found if options.model in (None, c.builder)]
    if not wanted and options.model is not None:
        others = ", ".join(dict.fromkeys(c.builder for c in found)) or "no model known here"
        raise CheckpointError(f"has not the names of {options.model}, but of {others}")
    if not wanted or (options.model is None and _is_far(wanted[0], everything)):
        report.nearest = list({c.builder: _nearest(c, shapes) for c in reversed(found)}.values())[::-1][:3]
        return
    candidate = wanted[0]
    report.model, report.arguments = candidate.builder, candidate.arguments
    report.twins = sorted({c.builder for c in found if c.shapes == candidate.shapes} - {candidate.builder})
    _compare(candidate, shapes, options, report)
    n = sum(shapes.get(name) == shape for name, shape in candidate.shapes.items())
    report.why = f"{n} of the {len(candidate.shapes)} tensors of {candidate.builder} are there, by name and shape"


def _is_far(candidate, shapes):
    missing, _, misshapen = candidate.compare(shapes)
    return len(missing) + len(misshapen) > len(candidate.shapes) // 2


def _nearest(candidate, shapes):
    missing, unexpected, misshapen = candidate.compare(shapes)
    first = [
        *(f"-{n}" for n in missing[:2]),
        *(f"+{n}" for n in unexpected[:2]),
        *(f"~{n}" for n in list(misshapen)[:2]),
    ]
    return [candidate.builder, len(missing) + len(unexpected) + len(misshapen), first]


def _compare(candidate, shapes, options, report):
    missing, unexpected, misshapen = candidate.compare(shapes)
    chainer = leaf.to_chainer({name: len(shape) for name, shape in (candidate.shapes).items()})
    only = None if options.only is None else (options.only, _user_rename(options.only, options.rename))
    for name in missing:
        name = chainer[name]
        wanted = any(fnmatchcase(name, glob) for glob in (*options.allow_missing, *options.drop))
        if wanted or (only is not None and not name.startswith(only)):
            report.allowed.append(name)
        else:
            report.missing.append(name)
    there = leaf.to_chainer({name: len(shape) for name, shape in shapes.items()})
    report.unexpected = [there[name] for name in unexpected]
    report.misshapen = {there[name]: [list(a), list(b)] for name, (a, b) in misshapen.items()}


def _describe(plan, origin):
    report = plan.report
    widened = [name for name, tensor in plan.tensors.items() if tensor.dtype == "bfloat16"]
    if widened and plan.dtype is None:
        report.notes.append(f"{len(widened)} bfloat16 tensors widened to float32, exactly")
    if plan.dtype is not None:
        report.notes.append(f"floating-point tensors stored as {plan.dtype}")
    for name, tensor in plan.tensors.items():
        if tensor.dtype in DTYPES:
            report.mapped[name] = [origin[name], list(tensor.shape), result_dtype(tensor.dtype, plan.dtype)]


def result_dtype(dtype, wanted):
    """Return the dtype a tensor is written with."""
    if dtype in _FLOATS and wanted is not None:
        return wanted
    return "float32" if dtype == "bfloat16" else dtype


def parse_rename(pairs):
    """Return ``(old, new)`` prefixes of ``FROM=TO`` texts."""
    result = []
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not equals:
            raise CheckpointError(f"--rename takes FROM=TO, got {pair!r}")
        result.append((old, new))
    return tuple(result)
