"""A stand-in for cuDNN 9's backend: notes what it is told, and computes what a plan says, or refuses, or is wrong."""

import ctypes
import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from chainfpn.functions.kernels import (
    convolution,
    cudnn_backend,
    cudnn_graph,
    gpu_convolution,
    gpu_epilogue,
    plain_numpy,
)
from chainfpn.functions.kernels.convolution import Geometry
from reference.fake_cupy.counting import LAUNCH, note
from reference.fake_cupy.graphs import launches
from reference.fake_cupy.streams import current

HANDLE = 7
NOT_SUPPORTED = 3000
DTYPES = {number: np.dtype(char) for char, number in cudnn_graph.DTYPES.items()}
OPERATIONS = {kind: (name, first) for name, (kind, first) in cudnn_graph.OPERATIONS.items()}


@dataclasses.dataclass
class Engine:
    """An engine of the heuristics.

    Attributes:
        name (str): For the tests.
        notes, behavior (sequence of int): What cuDNN says of it.
        workspace (int): Bytes.
        fails (bool): Whether each plan is refused.
        refuses (str): ``"plan"`` or ``"run"`` of what is more than a convolution.
        computes (bool): Whether a run writes its result.
        error (float): What is added to a result that is more than a convolution.
    """

    name: str = ""
    notes: Sequence[int] = ()
    behavior: Sequence[int] = ()
    workspace: int = 0
    fails: bool = False
    refuses: str = ""
    computes: bool = False
    error: float = 0.0


class Library:
    """cuDNN with these engines, by mode of heuristics.

    Args:
        best, last (sequence of Engine): Of the two modes.
        fuses (bool): Whether there are engines for more than a convolution.
    """

    def __init__(self, best, last=(), *, fuses=True):
        self.engines = dict(zip(cudnn_graph.HEURISTICS, (best, last), strict=True))
        self.fuses = fuses
        self.alive, self.finalized, self.executed = {}, [], []
        self.numbers = itertools.count(1000)

    def cudnnGetVersion(self):
        return 92800

    def cudnnGetErrorString(self, status):
        return b"CUDNN_STATUS_NOT_SUPPORTED"

    def cudnnGetLastErrorString(self, buffer, size):
        buffer.value = b"for a\n reason"

    def cudnnBackendCreateDescriptor(self, kind, pointer):
        pointer._obj.value = next(self.numbers)
        self.alive[pointer._obj.value] = {"kind": kind}
        return 0

    def cudnnBackendDestroyDescriptor(self, pointer):
        del self.alive[pointer]
        return 0

    def cudnnBackendSetAttribute(self, pointer, number, kind, count, values):
        assert count == len(values)
        self.alive[pointer][number] = [self.alive.get(v, v) if kind == 15 else v for v in values]
        return 0

    def cudnnBackendFinalize(self, pointer):
        self.finalized.append(self.alive[pointer])
        config = self._config(self.alive[pointer])
        engine = config.get("engine", Engine())
        return NOT_SUPPORTED if engine.fails or (engine.refuses == "plan" and is_fused(config)) else 0

    def cudnnBackendGetAttribute(self, pointer, number, kind, most, count, values):
        descriptor = self.alive[pointer]
        if number in (cudnn_graph.HEUR_RESULTS, cudnn_graph.CONFIG_ENGINE):
            found = self._find(descriptor, number == cudnn_graph.HEUR_RESULTS)
            for into, engine in zip(values or (), found, strict=values is not None):
                self.alive[into] |= engine
        else:
            engine = self._config(descriptor)["engine"]
            lists = {
                cudnn_graph.ENGINE_NOTES: engine.notes,
                cudnn_graph.ENGINE_BEHAVIOR: engine.behavior,
                cudnn_graph.PLAN_WORKSPACE: [engine.workspace],
            }
            found = lists[number]
            values[: len(found)] = found
        count._obj.value = len(found)
        return 0 if found or number != cudnn_graph.HEUR_RESULTS else NOT_SUPPORTED

    def cudnnBackendExecute(self, handle, plan, pack):
        config, pack = self._config(self.alive[plan]), self.alive[pack]
        self.executed.append((handle, config["engine"].name, pack))
        if handle != HANDLE + current().ptr or (config["engine"].refuses == "run" and is_fused(config)):
            return NOT_SUPPORTED
        if config["engine"].computes:
            note(LAUNCH, "cudnnBackendExecute")
            ids, pointers = pack[cudnn_graph.PACK_IDS], pack[cudnn_graph.PACK_POINTERS]
            compute(config["graph"], dict(zip(ids, pointers, strict=True)), config["engine"].error)
        return 0

    def _find(self, descriptor, is_mode):
        """List what is known of the engines of a mode, or of that of a configuration."""
        if not is_mode:
            return [{"engine": descriptor["engine"]}]
        (graph,), (mode,) = descriptor[cudnn_graph.HEUR_GRAPH], descriptor[cudnn_graph.HEUR_MODE_ASKED]
        found = [{"engine": engine, "graph": graph} for engine in self.engines[mode]]
        return [engine for engine in found if self.fuses or not is_fused(engine)]

    def _config(self, descriptor):
        return descriptor.get(cudnn_graph.PLAN_CONFIG, [descriptor])[0]

    def made(self, kind):
        """Return the attributes of the descriptors of a kind, in the order they were finalized."""
        return [d for d in self.finalized if d["kind"] == kind]


def is_fused(config):
    """Return whether a configuration is of more than a convolution."""
    return len(config["graph"][cudnn_graph.GRAPH_OPERATIONS]) > 1


@launches
@plain_numpy()  # compiles nothing
def compute(graph, pointers, error=0.0):
    """Compute what the operations of a graph say, on arrays at these addresses by the numbers of their tensors."""
    values = {}

    def read(tensor):
        number = tensor[cudnn_graph.TENSOR_ID][0]
        return values[number] if number in values else memory(tensor, pointers[number])

    operations = graph[cudnn_graph.GRAPH_OPERATIONS]
    for operation in operations:
        if operation["kind"] == cudnn_graph.POINTWISE_OPERATION:
            tensor, value = _pointwise(operation, read)
        else:
            tensor, value = _convolve(operation, read)
        number = tensor[cudnn_graph.TENSOR_ID][0]
        is_last = operation is operations[-1]
        assert tensor.get(cudnn_graph.TENSOR_IS_VIRTUAL, [False]) == [not is_last]
        values[number] = value.astype(DTYPES[tensor[cudnn_graph.TENSOR_DTYPE][0]])
        if is_last:
            memory(tensor, pointers[number])[...] = values[number] + (error if len(operations) > 1 else 0)


def memory(tensor, pointer):
    """Return the array of a tensor, which lies at an address."""
    shape, dtype = tensor[cudnn_graph.TENSOR_DIMS], DTYPES[tensor[cudnn_graph.TENSOR_DTYPE][0]]
    assert pointer % tensor[cudnn_graph.TENSOR_ALIGNMENT][0] == 0
    size = int(np.prod(shape)) * dtype.itemsize
    array = np.frombuffer((ctypes.c_char * size).from_address(pointer), dtype).reshape(shape)
    assert [stride // dtype.itemsize for stride in array.strides] == tensor[cudnn_graph.TENSOR_STRIDES]
    return array


def _convolve(operation, read):
    name, first = OPERATIONS[operation["kind"]]
    alpha, beta, (settings,), *tensors = (operation[first + k] for k in range(6))
    assert (alpha, beta) == ([1], [0])
    assert settings[cudnn_graph.CONV_PRE_PADS] == settings[cudnn_graph.CONV_POST_PADS]
    attributes = (cudnn_graph.CONV_STRIDES, cudnn_graph.CONV_PRE_PADS, cudnn_graph.CONV_DILATIONS)
    tensors = dict(zip("Wxy", [tensor for (tensor,) in tensors], strict=True))
    channels = {n: tensors[n][cudnn_graph.TENSOR_DIMS][1] for n in "Wx"}
    geometry = Geometry(*(tuple(settings[a]) for a in attributes), channels["x"] // channels["W"])
    wide = DTYPES[settings[cudnn_graph.CONV_COMPUTE][0]]
    W, x, y = (None if n == name else read(tensors[n]).astype(wide) for n in "Wxy")
    shape = tuple(tensors[name][cudnn_graph.TENSOR_DIMS])
    result = {
        "y": lambda: convolution.forward(x, W, geometry),
        "x": lambda: convolution.input_gradient(y, W, shape, geometry),
        "W": lambda: convolution.weight_gradient(x, y, shape, wide, geometry),
    }[name]()
    return tensors[name], result


def _pointwise(operation, read):
    (kind,), (x,), (y,) = (
        operation[n] for n in (cudnn_graph.POINTWISE_OF, cudnn_graph.POINTWISE_X, cudnn_graph.POINTWISE_Y)
    )
    if kind[cudnn_graph.POINTWISE_KIND] == [cudnn_graph.RELU]:
        assert kind[cudnn_graph.POINTWISE_NANS] == [cudnn_graph.PROPAGATE_NANS]
        return y, np.maximum(read(x), 0)
    assert kind[cudnn_graph.POINTWISE_KIND] == [cudnn_graph.ADD]
    (b,) = operation[cudnn_graph.POINTWISE_B]
    return y, read(x) + read(b).astype(read(x).dtype)


def forget():
    """Forget all that this process knows of its cuDNN."""
    for cached in (gpu_convolution.cudnn_problem, gpu_convolution._plan, gpu_epilogue._problem_of_cudnn):
        cached.cache_clear()
    for known in (gpu_convolution._failed, gpu_epilogue._is_good, gpu_epilogue._seen, gpu_epilogue._wrong):
        known.clear()


def install(monkeypatch, library):
    """Put a library in the place of cuDNN; its handle of the default stream is ``HANDLE``."""
    monkeypatch.setattr(cudnn_backend, "library", lambda: library)
    monkeypatch.setattr(cudnn_backend, "handle", lambda device, stream: HANDLE + stream)
    forget()
    return library
