"""A session of ONNX Runtime that travels: pickled as what it is made of, and made anew in a process that was forked."""

from __future__ import annotations

import copy
import ctypes
import functools
import mmap
import os
import pathlib
import pickle
import tempfile
import weakref
from collections.abc import Mapping
from typing import Any

import chainer
import numpy as np

from chainfpn._typing import Array, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.export._onnx import require_onnxruntime
from chainfpn.functions.kernels.threads import default_threads

#: Of the file that a session was made with.
_RULE = "the file that the engine was made with"


class Session:
    """A part of a detector in ONNX Runtime, for batches of any size.

    A copy is the same session. Where a pickle is read, and where a process was forked, a session is made anew.

    Args:
        source (str or bytes): A file, or its content.
        threads (int or None): How many compute; by default ``default_threads()`` of the process.
        outside (mapping): Constants that are not in it, see :meth:`Graph.model`; they are copied.

    Attributes:
        metadata (dict): What the file says of itself.
        outputs (list of str): Names of what it computes.
    """

    def __init__(self, source: str | bytes, threads: int | None, outside: Mapping[str, Array] | None = None) -> None:
        self._threads, self.metadata, outside = threads, dict[str, str](), outside or {}
        self._content = functools.partial(_read, source) if isinstance(source, str) else _put_aside(source, outside)
        session = self._begin(source, outside)
        self.metadata = session.get_modelmeta().custom_metadata_map
        (self._input,) = (value.name for value in session.get_inputs())
        self.outputs = [value.name for value in session.get_outputs()]

    def _begin(self, source, outside):
        """Make and return the session of this process."""
        runtime = require_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads or default_threads(), 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are not only ours
        options.enable_mem_pattern = False  # a second set of buffers for a batch of a size that comes again
        if outside:
            values = map(runtime.OrtValue.ortvalue_from_numpy, outside.values())
            options.add_external_initializers(list(outside), list(values))
        session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        if self.metadata and session.get_modelmeta().custom_metadata_map != self.metadata:
            raise InvalidArgument("engine onnx", "cache", _RULE, None, got="that of another detector")
        self._session = session
        _live().add(self)
        return session

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_content": self._content(), "_session": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        content = state["_content"]
        self._content = _put_aside(*content)
        self._begin(*content)

    def __deepcopy__(self, memo: Any) -> Session:
        return self

    def leave(self) -> None:
        """Leave threads to the process that this one was forked from: what ends the session would wait for them."""
        if self._session is not None and self._session.get_session_options().intra_op_num_threads > 1:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
            self._session = None

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
        session = self._session or self._begin(*self._content())
        outputs = session.run(self.outputs, {self._input: np.ascontiguousarray(array)})
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


def _read(path):
    """Return the content of a file, and no constants outside of it."""
    try:
        return pathlib.Path(path).read_bytes(), {}
    except OSError as error:
        raise InvalidArgument("engine onnx", "cache", _RULE, path, got=f"{path}: {error.strerror}") from error


def _put_aside(*content):
    """Write what a session is made of to a file without a name, and return what reads it.

    ONNX Runtime keeps weights in layouts of its own and returns none: held in memory they would be there twice.
    """
    try:
        with tempfile.TemporaryFile() as file:
            pickle.dump(content, file, pickle.HIGHEST_PROTOCOL)
            file.flush()
            return functools.partial(pickle.loads, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError:  # no folder for such files, or no room
        kept = copy.deepcopy(content)
        return lambda: kept


@functools.cache
def _live():
    """Return the set of the sessions there are, whom a fork leaves without threads."""
    sessions: weakref.WeakSet[Session] = weakref.WeakSet()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=functools.partial(_after_fork, sessions))
    return sessions


def _after_fork(sessions):
    """Do without the threads of the parent process, now and at the end.

    When a forked process ends by itself, ONNX Runtime 1.32 waits for a thread of its own that is not there. What
    is registered with glibc's ``on_exit`` now runs before that, and after Python's own end.
    """
    for session in sessions:
        session.leave()
    library = ctypes.CDLL(None)
    getattr(library, "on_exit", lambda function, argument: None)(library._exit, None)
