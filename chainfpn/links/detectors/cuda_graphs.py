"""The engine cuda-graph: maps and head of a detector on a GPU by one launch, for shapes of batches that come again.

No graph is trusted. A shape is computed as usual twice, while cuDNN's plans are chosen; the third time it is captured,
and the graph is kept if it gives the same numbers and takes no longer. What a graph reads is compared before each
launch: where a link, an attribute or an array has been replaced, all graphs of the detector go.
"""

import collections
import dataclasses
import math
import operator
import os
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import chainer
from chainer.backends import cuda

from chainfpn._typing import Array, Variable
from chainfpn.functions._linear_map import is_plain
from chainfpn.functions.kernels import gpu_epilogue
from chainfpn.functions.kernels.cuda_graph import CudaGraph
from chainfpn.functions.kernels.gpu_convolution import may_round, milliseconds
from chainfpn.links.layers import has_hooks

NAME = "cuda-graph"
#: How often a shape is computed as usual before it is captured.
N_USUAL = 2
#: How often both ways are timed.
N_ROUNDS = 3
#: Graphs that a detector keeps, each with the memory of its maps; a graph makes room that so many runs had no use for.
MAX_GRAPHS, MAX_IDLE = 4, 256
#: Shapes that a detector remembers.
MAX_SHAPES = 1024
#: What of Chainer's configuration decides what is launched.
CONFIG = ("dtype", "use_cudnn", "cudnn_deterministic", "autotune", "use_cudnn_tensor_core")


class Maps(list):
    """The maps of a batch, with what the head predicts from them, which comes with them.

    Attributes:
        predictions (tuple of list of Variable): Of the head.
    """

    predictions: tuple[list[Variable], ...]

    @classmethod
    def of(cls, maps: list[Variable], *predictions: list[Variable]) -> "Maps":
        """Put maps and predictions together."""
        made = cls(maps)
        made.predictions = predictions
        return made


def backbone_and_head(detector: Any) -> tuple[Any, Any]:
    """Return what computes the maps of a detector, and what predicts from them."""
    backbone = detector.backbone if hasattr(detector, "backbone") else detector.fpn
    return backbone, detector.rpn.head if hasattr(detector, "rpn") else detector.head


def maps_of(detector: Any, x: Variable | Array) -> Any:
    """Return the maps of a batch, finest first; with the head's predictions where a graph may compute both.

    Args:
        detector (Detector): The detector.
        x (Variable or array): float, (B, 3, H, W).

    Returns:
        list of Variable: Per level, (B, C, H_l, W_l); maybe :class:`Maps`.
    """
    backbone, head = backbone_and_head(detector)
    array = x.array if isinstance(x, chainer.Variable) else x
    if detector.engine != NAME or not isinstance(array, cuda.ndarray):
        return backbone(x)
    links = [link for child in detector.children() if child.name != "roi_heads" for link in child.links()]
    if not _only_launches(links):
        return backbone(x)

    def compute(array):
        hs = backbone(array)
        return [list(level) for level in (hs, *head(hs))]

    with cuda.get_device_from_array(array):
        return Maps.of(*_of_detector.setdefault(detector, _Graphs()).run(compute, array, _read_by(links)))


def _only_launches(links):
    """Return whether links do nothing but launch kernels: nobody learns, watches or checks."""
    return not chainer.config.train and is_plain() and not has_hooks(*links)


def _read_by(links):
    """Return all that launches depend on beside the configuration: links, their attributes, and arrays."""
    values = [value for link in links for value in vars(link).values()]
    return [*links, *values, *[value.array for value in values if isinstance(value, chainer.Parameter)]]


@dataclasses.dataclass
class _Kept:
    """A graph, how many maps and predictions of each kind it computes, and when it was run last."""

    graph: CudaGraph
    lengths: list[int]
    last_run: int


class _Graphs:
    """The graphs of a detector."""

    def __init__(self) -> None:
        self._lock, self._is_warned = threading.Lock(), False
        self._begin([])

    def _begin(self, read):
        """Forget the graphs of links that were others."""
        self._read, self._n_runs, self._fails = read, 0, False
        self._n_usual: collections.Counter = collections.Counter()
        self._graphs: dict[tuple, _Kept] = {}

    def run(self, compute: Callable, x: Array, read: list) -> list[list[Variable]]:
        """Return maps and predictions, as usual or by a graph."""
        environment = may_round(), os.environ.get(gpu_epilogue.VARIABLE)
        key = x.shape, x.dtype.char, x.device.id, *environment, *(getattr(chainer.config, name) for name in CONFIG)
        with self._lock:
            if len(read) != len(self._read) or not all(map(operator.is_, read, self._read)):
                self._begin(read)
            self._n_runs += 1
            found = self._graphs.get(key)
            if found is not None:
                found.last_run = self._n_runs
            elif self._is_due(key):
                return self._try(key, compute, x)
        if found is None:
            return compute(x)
        ys = iter(found.graph.run(x))
        return [[chainer.Variable(next(ys), requires_grad=False) for _ in range(n)] for n in found.lengths]

    def _is_due(self, key):
        """Return whether a shape is to be captured now; make room for its graph."""
        if len(self._n_usual) >= MAX_SHAPES:
            self._n_usual.clear()
        self._n_usual[key] += 1
        if self._fails or self._n_usual[key] <= N_USUAL:
            return False
        if len(self._graphs) == MAX_GRAPHS:
            oldest = min(self._graphs, key=lambda key: self._graphs[key].last_run)
            if self._n_runs - self._graphs[oldest].last_run <= MAX_IDLE:
                return False
            del self._graphs[oldest], self._n_usual[oldest]
        return True

    def _try(self, key, compute, x):
        """Compute as usual and by a new graph; keep that if it is good."""
        levels, graph = compute(x), CudaGraph()
        expected, reason = _arrays(levels), ""
        try:
            graph.capture(lambda x: _arrays(compute(x)), x)
            if not _are_close(graph.run(x), expected):
                reason = "its numbers are others"
            elif _duration(lambda: graph.run(x)) > _duration(lambda: compute(x)):
                reason = "it takes longer"
        except Exception as error:  # whatever CuPy, cuDNN or a link's own code ends it with
            reason, self._fails = f"{type(error).__name__}: {error}", not isinstance(error, MemoryError)
        if not reason:
            self._graphs[key] = _Kept(graph, [len(level) for level in levels], self._n_runs)
            return levels
        self._n_usual[key] = -math.inf
        if not self._is_warned:
            self._is_warned = True
            text = f"engine {NAME}: {x.shape} is computed kernel by kernel, for the graph is not kept: {reason}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        return levels


#: Beside the detectors, so that nothing of it is copied, pickled or saved with them.
_of_detector: weakref.WeakKeyDictionary[Any, _Graphs] = weakref.WeakKeyDictionary()


def _arrays(levels):
    return [h.array for level in levels for h in level]


def _duration(run):
    return min(milliseconds(run) for _ in range(N_ROUNDS))


def _are_close(ys, expected):
    """Return whether arrays have the same numbers, as far as cuDNN gives the same twice; NaN is no number."""
    tolerance = gpu_epilogue.TOLERANCES[expected[0].dtype.char]
    return all(bool(abs(y - e).max() <= tolerance * abs(e).max()) for y, e in zip(ys, expected, strict=True))
