"""Match a checkpoint with a model: what becomes of every tensor, decided before any value is read."""

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from weights_convert import param_names
from weights_convert._typing import Json, PathLike, Shapes, Tensors
from weights_convert.architectures import Candidate, candidates
from weights_convert.arguments import count_class_ids, has_no_background, labels_from, p6_from_trunk
from weights_convert.errors import CheckpointError, error_context, printable
from weights_convert.find_state_dict import candidate_entries, find_state_dict
from weights_convert.known_models import head_roots, is_detector
from weights_convert.layouts import Layout, complete_names, find_layout
from weights_convert.meta import own_meta
from weights_convert.model_settings import find_model_settings, usable_settings
from weights_convert.options import ANY_MODEL, Options
from weights_convert.read import npz
from weights_convert.read.contents import Contents, open_checkpoint
from weights_convert.read.shards import describe_shard
from weights_convert.read.tensor import DTYPES, REFUSED_DTYPES, Tensor, Unsupported
from weights_convert.report import Report
from weights_convert.rules import rename_each
from weights_convert.selection import Selection, npz_names, renamed
from weights_convert.source_names import strip_wrappers, without_prefix, without_strays
from weights_convert.tensor_fixups import is_grouped

_FLOATS = ("float16", "float32", "float64", "bfloat16")


@dataclass
class Match:
    """What will be written.

    Attributes:
        contents (Contents): The open file.
        report (Report): The account so far.
        meta (dict): The file's ``__meta__``, empty if it has none.
        dtype (str or None): What floating-point tensors become; ``None`` keeps theirs.
        settings (dict or None): What a configuration says, arguments of any builder; ``None`` before it was looked for.
        tensors (dict): ``{npz name: Tensor}``.
        torch_names (dict): ``{npz name: what it is called in a .pth or .safetensors}``.
        shapes (dict): Shapes that the recognized model must have, by torchvision's names.
    """

    contents: Contents
    report: Report
    meta: Json
    dtype: str | None = None
    settings: Json | None = None
    tensors: dict[str, Tensor] = field(default_factory=dict)
    torch_names: dict[str, str] = field(default_factory=dict)
    shapes: Shapes = field(default_factory=dict)

    def to_torch(self, name: str) -> str:
        """Return torch's name for a Chainer name: what the file remembers, or what the rule says."""
        return self.meta.get("torch_names", {}).get(name) or param_names.to_torch(name)

    @property
    def irregular_names(self) -> dict[str, str]:
        """Those of `torch_names` that the rule does not give back, for ``__meta__``."""
        return {name: torch for name, torch in self.torch_names.items() if param_names.to_torch(name) != torch}


def match_checkpoint(path: PathLike, options: Options) -> Match:
    """Read a checkpoint's names and shapes and decide; of several state dicts, the best fit wins.

    Never raises for a misfit: see `Report.require_fit`.

    Raises:
        CheckpointError: if the file cannot be read, holds no state dict, or two tensors would get one name.
    """
    contents = open_checkpoint(path)
    first = _try(contents, options)
    entries = [] if options.entry or options.model == ANY_MODEL else candidate_entries(contents)
    is_refused = isinstance(first, CheckpointError) and contents.refused
    others = [] if is_refused or _problems(first) == 0 else [entry for entry in entries if entry]
    best = min([first, *(_try(contents, replace(options, entry=entry)) for entry in others)], key=_problems)
    if isinstance(best, CheckpointError) or (best.report.model is None and isinstance(first, CheckpointError)):
        raise best if isinstance(best, CheckpointError) else first  # type: ignore[misc]
    others = [entry for entry in entries if entry != best.report.entry]
    best.report.notes += [printable(f"other state dicts in the file: {', '.join(others)}")] if others else []
    return best


def _try(contents: Contents, options: Options) -> Match | CheckpointError:
    try:
        return _match(contents, options)
    except CheckpointError as error:
        return error


def _problems(match: Match | CheckpointError) -> int:
    """Return how much is wrong with a match: of equally wrong ones, the first is the best."""
    if isinstance(match, CheckpointError):
        return 1 << 30
    report = match.report
    wrong = (report.missing, report.unexpected, report.misshapen, report.refused)
    return sum(map(len, wrong)) if report.model is not None else 1 << 29


def _match(contents: Contents, options: Options) -> Match:
    report = Report(contents.source.name, contents.format)
    match = Match(contents, report, own_meta(contents), options.dtype)
    report.notes += list(filter(None, [describe_shard(contents.source.name)]))
    with error_context(contents.source.name):
        state = find_state_dict(contents, options.entry)
        report.entry = state.entry
        about = {"beside it in the file": state.others, "no tensors, left out": state.not_tensors}
        for text, names in (about | {"left out": state.left_out}).items():
            report.notes += [printable(f"{text}: {', '.join(names[:10])}")] if names else []
        selection = Selection(options, report)
        tensors, layout, is_chainer = _to_torchvision(state.tensors, match, options, selection)
        as_is = options.model == ANY_MODEL and not (layout.table or layout.names)
        new_names = {name: name for name in tensors} if as_is and is_chainer else npz_names(tensors)
        whole = _undropped(state.tensors, match, options) if selection.has_dropped else {}
        whole = whole or {renamed(name, selection.pairs)[0]: tensors[source] for source, name in new_names.items()}
        named, origin = selection.select(tensors, new_names)
        _refuse(named, report)
        _fit(named, whole, options, match)
        selection.require_use(report.allowed)
        _settle_arguments(match, layout, options.meta.get("labels_from"))
        if (layout.any_trunk or "rules" in options.meta) and report.model is not None:
            report.model = report.model.replace("_resnet50_", "_resnet_")
        match.settings = usable_settings(match.settings or {}, report, match.shapes)
        match.tensors = {name: tensor for name, tensor in named.items() if isinstance(tensor, Tensor)}
        for name, tensor in match.tensors.items():
            own = "" if is_chainer or not as_is else tensor.source_name
            is_new = new_names[origin[name]] != name
            match.torch_names[name] = (not is_new and (own or match.to_torch(name))) or param_names.to_torch(name)
        _describe(match, origin)
    return match


def _to_torchvision(
    tensors: Tensors, match: Match, options: Options, selection: Selection
) -> tuple[Tensors, Layout, bool]:
    """Return the tensors under torchvision's names, the layout they were in, and whether that is Chainer's."""
    report = match.report
    keep_all = options.model == ANY_MODEL
    tensors = selection.edit(tensors)
    tensors = selection.edit(strip_wrappers(tensors if keep_all else without_strays(tensors, report)))
    if isinstance(tree := match.contents.tree, dict) and tree.get("matching_heuristics") is True:
        tensors = rename_each(tensors, complete_names(tensors).get)
    if any("/" in name for name in tensors):
        tensors = dict(sorted(tensors.items()))  # Chainer saves in an order that changes from run to run
    layout = find_layout(tensors, trunks=not keep_all)
    if layout.name == "torchvision":
        stripped = selection.edit(without_prefix(tensors, report, keep_all=keep_all))
        layout = layout if stripped.keys() == tensors.keys() else find_layout(stripped, trunks=not keep_all)
        tensors = stripped
    report.layout = layout.name
    is_npz = match.contents.format == npz.FORMAT
    is_chainer = any("/" in name for name in tensors) or (is_npz and not any("." in name for name in tensors))
    is_chainer &= not layout.chainer_names and (is_npz or options.model != ANY_MODEL)
    if is_chainer:
        report.layout = "Chainer"
        if options.model != ANY_MODEL:
            tensors = rename_each(tensors, match.to_torch)
    if match.settings is None:
        framework = str(layout.arguments.get("rules") or "").partition("_")[0] or None
        match.settings, notes = find_model_settings(match.contents.tree, options.config, framework, options.meta)
        report.notes += notes if options.model != ANY_MODEL else []
    layout = layout.under(match.settings | options.meta)
    return layout.apply(tensors, report), layout, is_chainer


def _undropped(tensors: Tensors, match: Match, options: Options) -> Tensors:
    """Return all that the file has by its .npz name: what is left out tells of the model, too."""
    options, report = replace(options, drop=()), Report(match.report.source)
    selection = Selection(options, report)
    try:
        tensors, _, _ = _to_torchvision(tensors, replace(match, report=report), options, selection)
    except CheckpointError:
        return {}  # what is left out may be what stands in the way
    return {renamed(name, selection.pairs)[0]: tensors[source] for source, name in npz_names(tensors).items()}


def _refuse(named: Tensors, report: Report) -> None:
    for name, tensor in named.items():
        if isinstance(tensor, Unsupported):
            report.refused[name] = tensor.reason
        elif tensor.dtype in REFUSED_DTYPES:
            report.refused[name] = f"of dtype {tensor.dtype}, which no Chainer model can hold"


def _shapes(named: Tensors) -> Shapes:
    return {param_names.to_torch(name): tensor.shape for name, tensor in named.items()}


def _settle_arguments(match: Match, layout: Layout, wanted: Any) -> None:
    """Settle what shapes leave open: by what the layout says, and where labels begin."""
    report = match.report
    report.arguments |= layout.arguments | (layout.resnext if is_grouped(match.shapes) else {})
    if not any(name.endswith("layer1.0.conv3.weight") for name in match.shapes):
        report.arguments.pop("stride_in_1x1", None)  # which basic blocks do not have
    n_class_ids = count_class_ids(match.shapes)
    one_stage = has_no_background(report.model)
    if n_class_ids is not None and layout.labels_from_zero:
        report.arguments.pop("class_ids", None)
        report.arguments |= {"n_fg_class": n_class_ids - (not one_stage)}
        report.arguments |= {"class_ids": list(range(n_class_ids))} if one_stage else {}
        report.arguments |= p6_from_trunk(match.shapes) if one_stage else {}
    if n_class_ids is None or layout.labels_from_zero or not one_stage:
        if wanted is not None:
            raise CheckpointError("--meta labels_from is for torchvision's RetinaNet and FCOS")
        return
    if wanted is None and (match.meta.get("arguments") or "class_ids" in report.arguments):
        return
    start, why = labels_from(n_class_ids, wanted)
    report.notes.append(f"labels begin at {start}: {why}")
    if start == 0:
        report.arguments |= {"n_fg_class": n_class_ids, "class_ids": list(range(n_class_ids))}
    elif wanted == 1:
        report.arguments["n_fg_class"] = n_class_ids - 1
        report.arguments.pop("class_ids", None)


def _fit(named: Tensors, whole: Tensors, options: Options, match: Match) -> None:
    """Recognize the model by all that the file has, and compare it with what the user wants of it."""
    report = match.report
    if options.model == ANY_MODEL:
        report.model, report.why = ANY_MODEL, "asked for: every parameter is renamed, no model is compared"
        return
    shapes, everything = _shapes(named), _shapes(whole)
    found = candidates(shapes) if shapes == everything else candidates(everything) + candidates(shapes)
    found = sorted(found, key=lambda candidate: candidate.distance(shapes))
    wanted = [c for c in found if options.model in (None, c.builder)]
    if not wanted and options.model is not None:
        others = list(dict.fromkeys(c.builder for c in found))
        shown = ", ".join(others) or "no model known here"
        raise CheckpointError(
            f"has not the names of {options.model}, but of {shown}{_other_kind(options.model, others)}"
        )
    if not wanted or (options.model is None and all(_is_far(wanted[0], known) for known in (everything, shapes))):
        report.nearest = list({c.builder: _nearest(c, shapes) for c in reversed(found)}.values())[::-1][:3]
        return
    candidate = wanted[0]
    match.shapes = candidate.shapes
    report.model, report.arguments = candidate.builder, candidate.arguments
    report.ambiguous_with = sorted({c.builder for c in found if c.shapes == candidate.shapes} - {candidate.builder})
    for name in _compare(candidate, shapes, options, report):
        named.pop(name)
    n = sum(shapes.get(name) == shape for name, shape in candidate.shapes.items())
    report.why = f"{n} of the {len(candidate.shapes)} tensors of {candidate.builder} are there, by name and shape"


def _other_kind(model: str, others: list[str]) -> str:
    """Return what to do with the weights of a trunk where a whole was asked for, or the other way round."""
    kinds = {is_detector(other) for other in others}
    if is_detector(model) and kinds == {False}:
        return ": a trunk's weights, which pretrained_backbone takes"
    return ": a whole detector's weights, not a trunk's" if kinds == {True} and not is_detector(model) else ""


def _is_far(candidate: Candidate, shapes: Shapes) -> bool:
    missing, _, misshapen = candidate.compare(shapes)
    return len(missing) + len(misshapen) > len(candidate.shapes) // 2


def _nearest(candidate: Candidate, shapes: Shapes) -> list[object]:
    kinds = dict(zip("-+~", map(list, candidate.compare(shapes)), strict=True))
    first = [f"{sign}{name}" for sign, names in kinds.items() for name in names[:2]]
    return [candidate.builder, sum(map(len, kinds.values())), first]


def _compare(candidate: Candidate, shapes: Shapes, options: Options, report: Report) -> list[str]:
    """Report what does not fit, and return the names of another head than the model's, which is left out."""
    missing, unexpected, misshapen = candidate.compare(shapes)
    chainer = param_names.to_chainer({name: len(shape) for name, shape in candidate.shapes.items()})
    only = ("",) if options.only is None else (options.only, renamed(options.only, options.pairs)[0])
    for name in map(chainer.__getitem__, missing):
        allowed = any(fnmatchcase(name, glob) for glob in (*options.allow_missing, *options.drop))
        (report.allowed if allowed or not name.startswith(only) else report.missing).append(name)
    there = param_names.to_chainer({name: len(shape) for name, shape in shapes.items()})
    heads = [there[name] for name in unexpected if name.startswith(head_roots(candidate.builder) or "\0")]
    report.dropped |= dict.fromkeys(heads, f"of another head than that of {candidate.builder}")
    report.unexpected = [there[name] for name in unexpected if there[name] not in heads]
    report.misshapen = {there[name]: [list(a), list(b)] for name, (a, b) in misshapen.items()}
    return heads


def _describe(match: Match, origin: dict[str, str]) -> None:
    report, dtype = match.report, match.dtype
    widened = sum(tensor.dtype == "bfloat16" for tensor in match.tensors.values())
    if dtype is not None:
        report.notes.append(f"floating-point tensors stored as {dtype}")
    elif widened:
        report.notes.append(f"{widened} bfloat16 tensors widened to float32, exactly")
    for name, tensor in match.tensors.items():
        if tensor.dtype in DTYPES:
            written = "float32" if tensor.dtype == "bfloat16" else tensor.dtype
            written = dtype if dtype is not None and tensor.dtype in _FLOATS else written
            report.mapped[name] = [origin[name], list(tensor.shape), written]
