"""Engines of a detector; ONNX Runtime as one: it computes maps and heads, all else of ``predict`` stays as it is.

Where the links here are faster it does not come as far as the heads, see :mod:`chainfpn.export.division`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import operator
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import chainer
import numpy as np

from chainfpn._typing import Array, PathLike
from chainfpn.errors import InvalidArgument
from chainfpn.export import division
from chainfpn.export._onnx import require_onnx
from chainfpn.export.dense import Part, array_names, dense_graph, parts_of, roi_parts
from chainfpn.export.file import metadata, part_models, part_paths, write_models
from chainfpn.export.session import Session
from chainfpn.export.trace import check_float32

#: Engines by name; auto is ONNX Runtime where that is installed and the detector is on a CPU, else Chainer.
ENGINES = ("auto", "chainer", "cuda-graph", "onnx")
#: Forms of the files that an engine keeps: up to the heads, or to the sums of a pyramid.
FORMS = ("engine", "divided")


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
    if detector.engine == "onnx":
        raise InvalidArgument("to_engine", "name", "onnx, for the weights are gone", name)
    place, engines = ("a CPU", ("chainer", "onnx")) if detector.xp is np else ("a GPU", ("chainer", "cuda-graph"))
    if name not in engines:
        raise InvalidArgument("to_engine", "name", f"{' or '.join(engines)} for a detector on {place}", name)
    copy = detector.copy(mode="share")
    copy.engine = name
    if name != "onnx":
        return copy
    sessions = _sessions(detector, threads, cache, n_images if cache is None else None)
    _return_memory()
    copy.serialize = _refuse_to_save
    image = sessions.pop("image")
    finish = division.LinksBehind(detector, threads) if image.is_divided else division.whole
    _replace(copy, "backbone" if hasattr(copy, "backbone") else "fpn", _Backbone(image, finish))
    _replace(copy.rpn if hasattr(copy, "rpn") else copy, "head", operator.attrgetter("predictions"))
    for part, (heads, kind) in roi_parts(getattr(copy, "roi_heads", None)).items():
        _replace(heads, f"{kind}_head", sessions[part].run)
        _replace(heads, f"{kind}_predictor", _predictions)
    return copy


class _Backbone:
    """What maps a batch to maps, with what the head predicts from them; a copy is the same one."""

    def __init__(self, image: Session, finish: Callable) -> None:
        self._image, self._finish = image, finish

    def __call__(self, x):
        return self._finish(self._image.levels(x))

    def __deepcopy__(self, memo):
        return self


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
    return {name: Session(os.path.abspath(path), threads) for name, path in paths.items()}


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
        session = Session(os.path.abspath(path), threads)
    except Exception as error:  # ONNX Runtime's own, of no other class
        raise InvalidArgument("to_engine", "cache", rule, path, got=f"{path}, which is no ONNX file") from error
    form = session.metadata.get("form")
    if form not in FORMS:
        got = f"{path}, a file of the form {form}" if form else f"{path}, a file of something else"
        raise InvalidArgument("to_engine", "cache", rule, path, got=got)
    return session
