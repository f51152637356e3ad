"""The Python interface: read, look, convert."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from weights_convert.check import check_against_torch, check_written
from weights_convert.errors import CheckpointError
from weights_convert.meta import make_meta, own_meta
from weights_convert.numeric import published_eps, published_twin
from weights_convert.plan import ANY_MODEL, Options, make_plan, parse_rename, require_fit, unwrap
from weights_convert.read.contents import naming, open_checkpoint
from weights_convert.read.tensor import Unsupported
from weights_convert.state import find_state
from weights_convert.version import __version__
from weights_convert.write import FORMATS, write_checkpoint


def read_checkpoint(path, *, entry=None):
    """Read the state dict of any checkpoint.

    Args:
        path (str or path): A torch .pth/.pt/.ckpt of either serialisation, .safetensors, .pkl or .npz.
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
    with naming(contents.source.name):
        tensors = unwrap(find_state(contents.tree, entry).tensors)
        return {name: _array(name, tensor) for name, tensor in tensors.items()}


def inspect(path, *, model=None, entry=None):
    """Return the `Report` of what a file holds and which model it is, without reading any tensor's values."""
    return make_plan(path, Options(model=model, entry=entry)).report


def convert_arrays(
    path, *, model=None, meta=None, drop=(), allow_missing=(), only=None, rename=(), dtype=None, entry=None
):
    """Convert a checkpoint in memory.

    Args:
        path (str or path): See `read_checkpoint`.
        model (str or None): A builder of `chainfpn.models`; ``None`` recognises it; ``"any"`` renames without a model.
        meta (dict or None): What weights cannot say, such as ``{"label_names": ["person"], "min_size": 368}``.
        drop (sequence of str): Globs of .npz names to leave out.
        allow_missing (sequence of str): Globs of .npz names that the file need not have.
        only (str or None): Keep only .npz names that begin so.
        rename (sequence of str): ``FROM=TO`` prefixes of .npz names.
        dtype (str or None): ``"float16"`` or ``"float32"`` for all floating-point tensors.
        entry (str or None): See `read_checkpoint`.

    Returns:
        tuple: ``{npz name: array}``, the ``__meta__`` object, and the `Report`.

    Raises:
        CheckpointError: as `read_checkpoint`.
        ConversionError: naming all keys that are missing, unexpected or misshapen, if there are any.
    """
    with _prepare(path, model, meta, drop, allow_missing, only, rename, dtype, entry) as (plan, make):
        return {name: _read(plan, name) for name in plan.tensors}, make(), plan.report


def convert(
    src, dst, *, model=None, meta=None, drop=(), allow_missing=(), only=None, rename=(), dtype=None, entry=None,
    to=None, compress=False, check=False,
):  # fmt: skip
    """Convert a checkpoint into a file: written whole or not at all, one tensor in memory at a time.

    Args:
        src (str or path): The checkpoint; the other options are those of `convert_arrays`.
        dst (str or path): Where to write.
        to (str or None): ``"npz"``, ``"pth"`` or ``"safetensors"``; ``None`` goes by the ending of ``dst``, else npz.
        compress (bool): Deflate an .npz.
        check (bool): Read the written file back and compare all of it; compare the source with what torch reads, too,
            where torch is installed. A file that fails is removed.

    Returns:
        Report: What was mapped, dropped and allowed to be missing.

    Raises:
        CheckpointError: as `convert_arrays`, or if ``dst`` cannot be written.
        ConversionError: as `convert_arrays`.
    """
    to = to or next((name for name, ending in FORMATS.items() if os.fspath(dst).endswith(ending)), "npz")
    if to not in FORMATS:
        raise CheckpointError(f"convert: to must be one of {', '.join(FORMATS)}, got {to!r}")
    with _prepare(src, model, meta, drop, allow_missing, only, rename, dtype, entry) as (plan, make):
        if os.path.exists(dst) and os.path.samefile(src, dst):
            raise CheckpointError(f"{dst}: is the source itself")
        write_checkpoint(dst, plan.report.mapped, _Reader(plan), make, to=to, compress=compress)
    plan.report.written = os.fspath(dst)
    if check:
        try:
            _check(plan, src, dst, to, entry)
        except CheckpointError:
            os.unlink(dst)
            raise
    return plan.report


def _check(plan, src, dst, to, entry):
    check_written(dst, to, plan.report.mapped, _Reader(plan))
    plan.report.notes.append(f"{len(plan.tensors)} tensors read back from the written file are equal")
    with naming(plan.report.source):
        plan.report.notes.append(check_against_torch(src, find_state(plan.contents.tree, entry)))


@contextmanager
def _prepare(path, model, meta, drop, allow_missing, only, rename, dtype, entry):
    """Give the plan, and a function that makes ``__meta__``; the source is hashed meanwhile in a thread."""
    if dtype not in (None, "float16", "float32"):
        raise CheckpointError(f"convert: dtype must be float16 or float32, got {dtype!r}")
    extra = dict(meta or {})
    plan = make_plan(
        path, Options(model, tuple(drop), tuple(allow_missing), only, parse_rename(rename), dtype, entry, extra)
    )
    require_fit(plan)
    report, source, known = plan.report, plan.contents.source, own_meta(plan.contents)
    name = None if report.model == ANY_MODEL else report.model
    if known.get("label_names"):
        extra = {"label_names": known["label_names"]} | extra

    def make(digest):
        arguments = report.arguments | published_eps(digest) | known.get("arguments", {})
        twin = published_twin(digest) or known.get("model")
        builder = twin if model is None and twin in report.twins else name
        made = make_meta(builder, arguments, extra, source=source.name, sha256=digest, converter=__version__)
        return known | made  # of what the file says, a training's record stays

    make("")  # what is wrong with it is said before anything is written
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(source.sha256)

        def finish():
            result = make(digest.result())
            if published_eps(digest.result()):
                report.notes.append("batch-norm eps is 0: torchvision runs this published file so")
            report.arguments = result["arguments"]
            if result["model"] not in (None, report.model):
                report.twins = sorted({report.model, *report.twins} - {result["model"]})
                report.model = result["model"]
            return result

        yield plan, finish


class _Reader:
    """Reads the tensors of a plan one after the other, and lets go of the one before."""

    def __init__(self, plan):
        self._plan, self._last = plan, None

    def __call__(self, name):
        """Return the array of an .npz name."""
        self._forget(name)
        return _read(self._plan, name, aligned=False)

    def unverified(self, name):
        """Return the array, and the CRC-32 its bytes should have where nobody has compared it yet, else ``None``."""
        self._forget(name)
        array, crc = (None, 0) if self._plan.dtype is not None else self._plan.tensors[name].unverified()
        return (self(name), None) if array is None else (array, crc)

    def _forget(self, name):
        if self._last is not None:
            self._last.release()
        self._last = self._plan.tensors[name].storage


def _read(plan, name, *, aligned=True):
    with naming(plan.report.source):
        return _cast(name, _array(name, plan.tensors[name], aligned=aligned), plan.dtype)


def _array(name, tensor, *, aligned=True):
    if isinstance(tensor, Unsupported):
        raise CheckpointError(f"{name} is {tensor.reason}")
    try:
        return tensor.array(aligned=aligned)
    except CheckpointError as e:
        raise CheckpointError(f"{name}: {e}") from e


def _cast(name, array, dtype):
    if dtype is None or array.dtype.kind != "f" or array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        result = array.astype(dtype)
    if not np.array_equal(np.isfinite(result), np.isfinite(array)):
        raise CheckpointError(f"{name} has values that {dtype} cannot hold; the largest is {np.abs(array).max():.3g}")
    return result
