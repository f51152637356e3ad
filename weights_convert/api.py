"""The Python interface: read, look, convert."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from chainfpn import __version__
from weights_convert import files
from weights_convert._typing import Array, Json, PathLike
from weights_convert.arguments import assumptions, check_arguments, check_by_building
from weights_convert.check import check_against_torch, check_written
from weights_convert.destinations import may_replace
from weights_convert.errors import CheckpointError, error_context
from weights_convert.find_state_dict import find_state_dict
from weights_convert.known_models import published_model
from weights_convert.layouts import FOREIGN_RULES, find_layout
from weights_convert.match_reader import MatchReader, read_array, to_array
from weights_convert.matching import Match, match_checkpoint
from weights_convert.meta import make_meta
from weights_convert.options import ANY_MODEL, Options
from weights_convert.read.contents import open_checkpoint
from weights_convert.report import Report
from weights_convert.source_names import strip_wrappers
from weights_convert.way_back import restore_names
from weights_convert.write import FORMATS, format_of, write_checkpoint


def read_checkpoint(path: PathLike, *, entry: str | None = None) -> dict[str, Array]:
    """Read the state dict of any checkpoint.

    Args:
        path (str or path): A torch .pth/.pt/.ckpt of either serialization, .safetensors, .pkl or .npz.
        entry (str or None): Where in the file the state dict is, as ``"model/ema"``; ``None`` finds it.

    Returns:
        dict of str to array: Names as in the file, without the prefixes of wrappers such as ``module.``. Arrays are
        views of the mapped file where memory order allows; writing to them does not change it. bfloat16 is widened to
        float32.

    Raises:
        CheckpointError: if the file is no checkpoint, is damaged, asks for anything to be executed, or holds
            something that no array can hold.
    """
    contents = open_checkpoint(path)
    with error_context(contents.source.name):
        tensors = strip_wrappers(find_state_dict(contents, entry).tensors)
        return {name: to_array(name, tensor) for name, tensor in tensors.items()}


def needs_conversion(names: Iterable[str]) -> bool:
    """Return whether the arrays of an .npz have another library's names (ChainerCV's), not those of chainfpn's models.

    Args:
        names (iterable of str): Names of the arrays.

    Returns:
        bool: Whether `convert_arrays` makes something else of them.
    """
    return find_layout(names).chainer_names


def inspect(
    path: PathLike, *, model: str | None = None, entry: str | None = None, config: PathLike | None = None
) -> Report:
    """Find out what a file holds and which model it is, without reading any tensor's values.

    Args:
        path (str or path): See `read_checkpoint`.
        model (str or None): See `convert_arrays`.
        entry (str or None): See `read_checkpoint`.
        config (str or path or None): See `convert_arrays`.

    Returns:
        Report: The account; whether anything is missing or unexpected is in it, too.

    Raises:
        CheckpointError: as `read_checkpoint`.
    """
    return inspect_with(path, Options(model=model, entry=entry, config=config))


def inspect_with(path: PathLike, options: Options) -> Report:
    """Return the report of a file, with the arguments and the names of labels that it has itself."""
    match = match_checkpoint(path, options)
    if match.meta and match.meta.get("model") == match.report.model:
        match.report.arguments |= match.meta["arguments"]
        match.report.label_names = match.meta.get("label_names")
    return match.report


def convert_arrays(
    path: PathLike,
    *,
    model: str | None = None,
    meta: Json | None = None,
    drop: Iterable[str] = (),
    allow_missing: Iterable[str] = (),
    only: str | None = None,
    rename: Iterable[str] = (),
    dtype: str | None = None,
    entry: str | None = None,
    config: PathLike | None = None,
) -> tuple[dict[str, Array], Json, Report]:
    """Convert a checkpoint in memory.

    Args:
        path (str or path): See `read_checkpoint`.
        model (str or None): A builder of `chainfpn.models`; ``None`` recognizes it; ``"any"`` renames without a model.
        meta (dict or None): What weights cannot say, such as ``{"label_names": ["person"], "min_size": 368}``.
        drop (sequence of str): Globs of names to leave out, of the file before the model is looked for, or of the .npz.
        allow_missing (sequence of str): Globs of .npz names that the file need not have.
        only (str or None): Keep only .npz names that begin so.
        rename (sequence of str): ``FROM=TO`` prefixes of names, likewise.
        dtype (str or None): ``"float16"`` or ``"float32"`` for all floating-point tensors.
        entry (str or None): See `read_checkpoint`.
        config (str or path or None): The configuration of detectron2 (.yaml) or mmdetection (.py) that belongs to it:
            its input, anchors and thresholds are taken. Nothing in it is run.

    Returns:
        tuple: ``{npz name: array}``, the ``__meta__`` object, and the `Report`.

    Raises:
        CheckpointError: as `read_checkpoint`.
        ConversionError: naming all keys that are missing, unexpected or misshapen, if there are any.
    """
    options = Options(model, meta or {}, drop, allow_missing, only, rename, dtype, entry, config)
    with _prepare(path, options) as (match, finish):
        return {name: read_array(match, name) for name in match.tensors}, finish(), match.report


def convert(
    src: PathLike,
    dst: PathLike,
    *,
    to: str | None = None,
    compress: bool = False,
    check: bool = False,
    force: bool = False,
    model: str | None = None,
    meta: Json | None = None,
    drop: Iterable[str] = (),
    allow_missing: Iterable[str] = (),
    only: str | None = None,
    rename: Iterable[str] = (),
    dtype: str | None = None,
    entry: str | None = None,
    config: PathLike | None = None,
) -> Report:
    """Convert a checkpoint into a file: written whole or not at all, one tensor in memory at a time.

    Args:
        src (str or path): The checkpoint.
        dst (str or path): Where to write.
        to (str or None): ``"npz"``, ``"pth"``, ``"pkl"`` or ``"safetensors"``; ``None`` goes by the ending of ``dst``.
        compress (bool): Deflate an .npz.
        check (bool): Read the written file back and compare all of it, and the source with what torch reads, where
            torch is installed. A file that fails is removed.
        force (bool): Replace a file that was not converted from this source, too.
        model, meta, drop, allow_missing, only, rename, dtype, entry, config: See `convert_arrays`.

    Returns:
        Report: What was mapped, dropped and allowed to be missing.

    Raises:
        CheckpointError: as `convert_arrays`, or if ``dst`` cannot be written or must not be replaced.
        ConversionError: as `convert_arrays`.
    """
    if (to := to or format_of(dst)) not in FORMATS:
        raise CheckpointError(f"convert: to must be one of {', '.join(FORMATS)}, got {to!r}")
    if not force and not may_replace(dst, src):
        raise CheckpointError(f"{dst}: exists and was not converted from {src}; force=True replaces it")
    options = Options(model, meta or {}, drop, allow_missing, only, rename, dtype, entry, config)
    with _prepare(src, options) as (match, finish):
        if os.path.exists(dst) and os.path.samefile(src, dst):
            raise CheckpointError(f"{dst}: is the source itself")
        if to != "npz":
            restore_names(match)
        mapped, torch_names = match.report.mapped, match.torch_names
        write_checkpoint(dst, mapped, MatchReader(match), finish, to=to, compress=compress, torch_names=torch_names)
    match.report.written = os.fspath(dst)
    if check:
        try:
            _check(match, src, dst, to, entry)
        except CheckpointError:
            os.unlink(dst)
            raise
    return match.report


def _check(match: Match, src: PathLike, dst: PathLike, to: str, entry: str | None) -> None:
    report = match.report
    names = {name: name for name in report.mapped} if to == "npz" else match.torch_names
    check_written(dst, names, MatchReader(match))
    report.notes.append(f"{len(match.tensors)} tensors read back from the written file are equal")
    with error_context(report.source):
        report.notes.append(check_against_torch(src, find_state_dict(match.contents, entry)))


@contextmanager
def _prepare(path: PathLike, options: Options) -> Iterator[tuple[Match, Callable[[], Json]]]:
    """Yield the match, and a function that makes ``__meta__``; the source is hashed meanwhile in a thread."""
    match = match_checkpoint(path, options)
    match.report.require_fit()
    report = match.report
    make = _meta_maker(match, options)
    with error_context(report.source):
        about = make("")  # what is wrong with it is said before anything is written
        _check_meta(match, options, about["arguments"])
    report.arguments = about["arguments"]
    stopped = Event()
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(files.sha256, match.contents.source.path, stopped=stopped.is_set)

        def finish() -> Json:
            result = make(digest.result())
            if (published := published_model(digest.result())) and published[1].get("norm_eps") == 0:
                report.notes.append("batch-norm eps is 0: torchvision runs this published file so")
            report.arguments, report.label_names = result["arguments"], result["label_names"]
            report.assumed = assumptions(result["model"], result)
            if result["model"] not in (None, report.model):
                report.ambiguous_with = sorted({str(report.model), *report.ambiguous_with} - {result["model"]})
                report.model = result["model"]
            return result

        try:
            yield match, finish
        finally:
            stopped.set()


def _meta_maker(match: Match, options: Options) -> Callable[[str], Json]:
    """Return what makes ``__meta__`` of the hash of the file."""
    report, known, recognized = match.report, match.meta, match.report.arguments
    name = None if report.model == ANY_MODEL else report.model
    extra = (match.settings or {}) | options.meta

    def make(digest: str) -> Json:
        twin, needed = published_model(digest) or (known.get("model"), {})
        stored = known.get("arguments", {})
        if "input" in extra and stored.get("rules") in FOREIGN_RULES:
            raise CheckpointError(f"--meta input must be left out of a file that says rules {stored['rules']!r}")
        stored = {} if "labels_from" in extra else stored
        seen = {key: value for key, value in recognized.items() if key != "class_ids" or "n_fg_class" not in stored}
        arguments = seen | dict(needed) | stored
        builder = twin if options.model is None and twin in report.ambiguous_with else name
        about = {"source": match.contents.source.name, "sha256": digest, "converter": __version__}
        made = make_meta(builder, arguments, extra, own_names=known.get("label_names"), **about)
        made |= {"torch_names": match.irregular_names} if match.irregular_names else {}
        return {key: value for key, value in known.items() if key != "torch_names"} | made  # a training's record stays

    return make


def _check_meta(match: Match, options: Options, arguments: Json) -> None:
    """Compare arguments with what the shapes told, and where the user or a configuration gave some, with the model."""
    report, name = match.report, match.report.model
    if name is None or name == ANY_MODEL:
        return
    check_arguments(name, arguments, report.arguments, match.shapes)
    given = (match.settings or {}) | options.meta
    if given.keys() & arguments.keys() and not report.allowed and options.only is None:
        check_by_building(name, arguments, {name: tuple(m[1]) for name, m in report.mapped.items()})
