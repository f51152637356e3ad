"""ONNX Runtime as the engine of a detector: it computes maps and heads; all else of ``predict`` stays as it is.

Where the links here are faster it does not come as far as the heads, see :mod:`chainfpn.export.division`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import chainer
import numpy as np

from chainfpn._typing import Array, PathLike, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.export import division
from chainfpn.export._onnx import require_onnx, require_onnxruntime
from chainfpn.export.dense import Part, array_names, dense_graph, parts_of, roi_parts
from chainfpn.export.file import metadata, part_models, part_paths, write_models
from chainfpn.export.trace import check_float32
from chainfpn.functions.kernels import threads as kernel_threads

#: Engines by name; auto is ONNX Runtime where that is installed and the detector is on a CPU, else Chainer.
ENGINES = ("auto", "chainer", "onnx")
#: Forms of the files that an engine keeps: up to the heads, or to the sums of a pyramid.
FORMS = ("engine", "divided")


class Session:
    """A part of a detector in ONNX Runtime, for batches of any size.

    Args:
        source (str or bytes): A file, or its content.
        threads (int): How many compute.
        outside (mapping): Constants that are not in it, see :meth:`Graph.model`; they are copied.

    Attributes:
        outputs (list of str): Names of what it computes.
    """

    def __init__(self, source: str | bytes, threads: int, outside: Mapping[str, Array] | None = None) -> None:
        runtime = require_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are not only ours
        options.enable_mem_pattern = False  # a second set of buffers for a batch of a size that comes again
        if outside:
            values = map(runtime.OrtValue.ortvalue_from_numpy, outside.values())
            options.add_external_initializers(list(outside), list(values))
        self._session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        (self._input,) = (value.name for value in self._session.get_inputs())
        self.outputs = [value.name for value in self._session.get_outputs()]

    @property
    def metadata(self) -> Mapping[str, str]:
        """Mapping: What the file says of itself."""
        return self._session.get_modelmeta().custom_metadata_map

    def run(self, x: Variable) -> dict[str, Variable]:
        """Compute.

        Args:
            x (Variable or array): float32, (B, C, H, W), NumPy.

        Returns:
            dict: Name of the output to Variable, float32.

        Raises:
            InvalidArgument: if x is of another dtype or device, or in training.
        """
        array = x.array if isinstance(x, chainer.Variable) else x
        if not isinstance(array, np.ndarray) or array.dtype != np.float32:
            got = f"{type(array).__module__} {getattr(array, 'dtype', None)}"
            raise InvalidArgument("engine onnx", "x", "float32 on the CPU", x, got=got)
        if chainer.config.train:
            raise InvalidArgument("engine onnx", "chainer.config.train", "False: it cannot be trained", True)
        outputs = self._session.run(self.outputs, {self._input: np.ascontiguousarray(array)})
        return {name: chainer.Variable(y, requires_grad=False) for name, y in zip(self.outputs, outputs, strict=True)}

    @property
    def is_divided(self) -> bool:
        """bool: Whether it ends at the sums of a pyramid."""
        return "sum.0" in self.outputs

    def levels(self, x: Variable) -> dict[str, list[Variable]]:
        """Compute the outputs of every level, finest first, by name."""
        levels: dict[str, list[Variable]] = {}
        for name, y in self.run(x).items():
            levels.setdefault(name.partition(".")[0], []).append(y)
        return levels


def with_engine(
    detector: Any,
    name: str,
    *,
    threads: int | None = None,
    cache: PathLike | None = None,
    n_images: int | None = None,
) -> Any:
    """Return a detector on an engine; see :meth:`chainfpn.links.Detector.to_engine`."""
    if name not in ENGINES:
        raise InvalidArgument("to_engine", "name", f"one of {', '.join(ENGINES)}", name)
    if threads is not None and threads < 1:
        raise InvalidArgument("to_engine", "threads", "None or >= 1", threads)
    if name == "auto":
        name = "onnx" if detector.xp is np and chainer.get_dtype() == np.float32 and _is_installed() else "chainer"
    if name == detector.engine:
        return detector
    if detector.engine != "chainer":
        raise InvalidArgument("to_engine", "name", f"{detector.engine}, for the weights are gone", name)
    if detector.xp is not np:
        raise InvalidArgument("to_engine", "name", "chainer for a detector on a GPU", name)
    n_threads = default_threads() if threads is None else threads
    sessions = _sessions(detector, n_threads, cache, n_images if cache is None else None)
    _return_memory()
    copy = detector.copy(mode="share")
    copy.engine = name
    copy.serialize = _refuse_to_save
    image = sessions.pop("image")
    finish = division.links_behind(detector, n_threads) if image.is_divided else division.whole
    _replace(copy, "backbone" if hasattr(copy, "backbone") else "fpn", lambda x: finish(image.levels(x)))
    _replace(copy.rpn if hasattr(copy, "rpn") else copy, "head", lambda hs: hs.predictions)
    for part, (heads, kind) in roi_parts(getattr(copy, "roi_heads", None)).items():
        _replace(heads, f"{kind}_head", sessions[part].run)
        _replace(heads, f"{kind}_predictor", _predictions)
    return copy


def _return_memory():
    """Return to the system what is free: glibc keeps pieces of up to 32 MB, which most weights are."""
    if sys.platform == "linux":
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)


def _predictions(outputs):
    """Return what a head predicts as its link does: one variable, or several."""
    return tuple(outputs.values()) if len(outputs) > 1 else outputs["logits"]


def _replace(parent, name, function):
    """Put a function in the place of a link."""
    if name in getattr(parent, "_children", ()):
        delattr(parent, name)
    object.__setattr__(parent, name, function)


def _refuse_to_save(serializer):
    raise InvalidArgument("engine onnx", "model", "a detector on the engine chainer: the weights are gone", "onnx")


def _is_installed():
    """Return whether the packages of the extra are there."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


def default_threads() -> int:
    """Return the number of threads: ``OMP_NUM_THREADS``, or as many as the operators here use."""
    requested = os.environ.get("OMP_NUM_THREADS", "")
    return int(requested) if requested.isdecimal() and int(requested) else kernel_threads.N_THREADS


def _sessions(detector, threads, cache, n_images):
    """Return the sessions of a detector's parts, from files that are there and of this detector, or made now."""
    names = array_names(detector)

    def session(part: Part) -> Session:
        outside: dict[str, Array] = {}
        proto = dense_graph(part, names).model("part", {}, outside)
        _return_memory()
        return Session(proto.SerializeToString(), threads, outside)

    check_float32("to_engine", detector)
    part_names = ["image", *roi_parts(getattr(detector, "roi_heads", None))]
    paths = {} if cache is None else part_paths(part_names, pathlib.Path(cache))
    kept = _kept_sessions(detector, threads, paths)
    if kept is not None:
        return kept
    require_onnx()
    is_divided = division.pays(detector, lambda part: session(part).run, n_images)
    parts = parts_of(detector)
    if is_divided:
        parts["image"] = division.part_before(detector, parts["image"])
    if cache is None:
        return {name: session(part) for name, part in parts.items()}
    write_models(part_models(detector, parts, "divided" if is_divided else "engine"), paths)
    return {name: Session(os.fspath(path), threads) for name, path in paths.items()}


def _kept_sessions(detector, threads, paths):
    """Return the sessions of files that are there and of this detector; None if they are not, or of another.

    A division that was measured when the files were written stands, unless ``CHAINFPN_CONV`` says otherwise.
    """
    sessions = {name: _open(path, threads) for name, path in paths.items() if path.exists()}
    if not paths or len(sessions) < len(paths):
        return None
    texts = metadata(detector, "engine")
    keys = "weights", "model", "arguments"
    known = all(session.metadata.get(key) == texts.get(key) for session in sessions.values() for key in keys)
    return sessions if known and division.stands(detector, sessions["image"].is_divided) else None


def _open(path, threads):
    """Return the session of a file that an engine has written.

    Raises:
        InvalidArgument: if it is another file, which must not be lost.
    """
    rule = "the place of an engine's files, or a new one"
    try:
        session = Session(os.fspath(path), threads)
    except Exception as error:  # ONNX Runtime's own, of no other class
        raise InvalidArgument("to_engine", "cache", rule, path, got=f"{path}, which is no ONNX file") from error
    form = session.metadata.get("form")
    if form not in FORMS:
        got = f"{path}, a file of the form {form}" if form else f"{path}, a file of something else"
        raise InvalidArgument("to_engine", "cache", rule, path, got=got)
    return session
