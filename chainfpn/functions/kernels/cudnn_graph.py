"""cuDNN 9's graph API, called by ctypes: an execution plan per convolution, made once and cheap to run.

CuPy 14 has no cuDNN, and cuDNN's calls of old take the host 0.1 to 0.2 ms each. A plan takes some microseconds. The
numbers below are those of ``cudnn_graph.h``, which are the same in all of cuDNN 9.
"""

import ctypes
import functools
import glob
import importlib.util
import os
import weakref
from collections.abc import Iterator
from typing import Any

from chainfpn.functions.kernels.convolution import Geometry

LIBRARY = "libcudnn.so.9"
#: cudnnDataType_t by the character of a dtype: float32, float64, float16.
DTYPES = {"f": 0, "d": 1, "e": 2}
#: The most memory that a plan may ask for, bytes. Winograd's algorithm keeps maps transformed, 2.25 times their size.
WORKSPACE_BYTES = 1 << 30
#: Bytes that addresses are multiples of, where they are; engines want no more.
ALIGNMENT = 16
CROSS_CORRELATION = 1
#: Modes of heuristics in the order they are asked: A, then those engines that always work.
HEURISTICS = (3, 2)
# cudnnBackendNumericalNote_t: what an engine does to the numbers.
TENSOR_CORE, DOWN_CONVERT_INPUTS, REDUCED_PRECISION_REDUCTION, NONDETERMINISTIC = 0, 1, 2, 4
#: cudnnBackendBehaviorNote_t: the engine is compiled for each shape, which takes up to a second.
RUNTIME_COMPILATION = 0
MAX_NOTES = 16
#: Sets of addresses that a plan remembers: CuPy's pool gives the same again and again.
MAX_PACKS = 64

#: cudnnBackendAttributeType_t with the C type of a value.
HANDLE, DATA_TYPE = (0, ctypes.c_void_p), (1, ctypes.c_int)
INT64, FLOAT, DOUBLE, POINTER = (3, ctypes.c_int64), (4, ctypes.c_float), (5, ctypes.c_double), (6, ctypes.c_void_p)
CONVOLUTION_MODE, HEUR_MODE, NOTE = (7, ctypes.c_int), (8, ctypes.c_int), (11, ctypes.c_int)
DESCRIPTOR, BEHAVIOR = (15, ctypes.c_void_p), (19, ctypes.c_int)

#: Descriptors, and the numbers of their attributes.
CONVOLUTION, ENGINE, CONFIG, HEUR, PLAN, GRAPH, VARIANT_PACK, TENSOR = 1, 2, 3, 4, 5, 15, 16, 17
CONV_COMPUTE, CONV_MODE, CONV_DILATIONS, CONV_STRIDES, CONV_POST_PADS, CONV_PRE_PADS, CONV_DIMS = range(100, 107)
HEUR_MODE_ASKED, HEUR_GRAPH, HEUR_RESULTS = 200, 201, 202
CONFIG_ENGINE, ENGINE_NOTES, ENGINE_BEHAVIOR = 300, 1303, 1305
PLAN_HANDLE, PLAN_CONFIG, PLAN_WORKSPACE = 400, 401, 402
GRAPH_HANDLE, GRAPH_OPERATIONS = 800, 801
TENSOR_ALIGNMENT, TENSOR_DTYPE, TENSOR_DIMS, TENSOR_STRIDES, TENSOR_ID = 900, 901, 902, 903, 906
PACK_IDS, PACK_POINTERS, PACK_WORKSPACE = 1000, 1001, 1003
#: The operation that computes an array, and its first attribute. Six follow: alpha, beta, convolution, W, x, y.
OPERATIONS = {"y": (10, 700), "x": (12, 706), "W": (11, 712)}
#: What W, x and y are called in a graph.
IDS = (1, 2, 3)


class CudnnError(RuntimeError):
    """cuDNN is not there, or cannot do what it was told to."""


@functools.cache
def library() -> ctypes.PyDLL:
    """Load cuDNN 9: that of the process, else that of NVIDIA's wheel, which PyTorch shares, else that of the system.

    It keeps the interpreter's lock, which makes a call cheap and keeps two threads from running one plan at once.

    Raises:
        CudnnError: if there is none.
    """
    cudnn = _load(LIBRARY)
    i64, pointer, number, size = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    cudnn.cudnnGetVersion.restype = cudnn.cudnnGetCudartVersion.restype = size
    cudnn.cudnnGetErrorString.restype, cudnn.cudnnGetErrorString.argtypes = ctypes.c_char_p, [number]
    cudnn.cudnnGetLastErrorString.argtypes = [pointer, size]
    cudnn.cudnnCreate.argtypes = cudnn.cudnnBackendFinalize.argtypes = [pointer]
    cudnn.cudnnBackendDestroyDescriptor.argtypes = [pointer]
    cudnn.cudnnSetStream.argtypes = [pointer, pointer]
    cudnn.cudnnBackendCreateDescriptor.argtypes = [number, pointer]
    cudnn.cudnnBackendSetAttribute.argtypes = [pointer, number, number, i64, pointer]
    cudnn.cudnnBackendGetAttribute.argtypes = [pointer, number, number, i64, pointer, pointer]
    cudnn.cudnnBackendExecute.argtypes = [pointer, pointer, pointer]
    return cudnn


def _load(name):
    spec = importlib.util.find_spec("nvidia")
    folders = (spec.submodule_search_locations if spec else None) or ()
    wheels = [path for folder in folders for path in glob.glob(f"{glob.escape(folder)}/*/lib/{name}")]
    reasons: list[str] = []
    places = ((name, os.RTLD_NOLOAD), *((path, 0) for path in (*wheels, name)))
    found = next(filter(None, (_open(*place, reasons) for place in places)), None)
    if found is None:
        raise CudnnError("; ".join(reasons[1:]))
    return found


def _open(path, mode, reasons):
    try:
        return ctypes.PyDLL(path, mode)
    except OSError as error:
        reasons.append(str(error))
        return None


def version() -> str:
    """Return the version of the library that is loaded, such as 9.28.0."""
    number = library().cudnnGetVersion()
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


@functools.cache
def handle(device: int, stream: int) -> int:
    """Return cuDNN's handle for a stream of the current device, made once."""
    _load(f"libcublasLt.so.{library().cudnnGetCudartVersion() // 1000}")  # cuDNN ends the process that lacks it
    found = ctypes.c_void_p()
    _check("cudnnCreate", ctypes.byref(found))
    _check("cudnnSetStream", found, stream)
    return found.value or 0


class Plan:
    """An execution plan of cuDNN for one of the three arrays of a convolution; see :func:`plans`.

    Attributes:
        workspace (int): Bytes of memory that :meth:`run` needs.
    """

    def __init__(self, config: "_Descriptor", handle: int) -> None:
        self._config = config
        self._plan = _Descriptor(PLAN, (PLAN_HANDLE, HANDLE, handle), (PLAN_CONFIG, DESCRIPTOR, config))
        (self.workspace,) = self._plan.get(PLAN_WORKSPACE, INT64, 1)
        self._packs: dict[Any, _Descriptor] = {}

    def run(self, handle: int, pointers: tuple[int, int, int], workspace: int) -> None:
        """Compute on the stream of a handle.

        Args:
            handle (int): From :func:`handle`.
            pointers (tuple of int): Addresses of W, x and y; the one that is computed is written.
            workspace (int): Address of so many bytes as the plan wants.
        """
        pack = self._packs.get((pointers, workspace))
        if pack is None:
            if len(self._packs) == MAX_PACKS:
                self._packs.clear()
            values = (PACK_IDS, INT64, *IDS), (PACK_POINTERS, POINTER, *pointers), (PACK_WORKSPACE, POINTER, workspace)
            pack = self._packs[pointers, workspace] = _Descriptor(VARIANT_PACK, *values)
        _check("cudnnBackendExecute", handle, self._plan.pointer, pack.pointer)


def plans(
    name: str,
    shapes: tuple[tuple[int, ...], ...],
    dtype: str,
    geometry: Geometry,
    handle: int,
    *,
    alignment: int,
    tf32: bool,
    deterministic: bool,
    most: int = WORKSPACE_BYTES,
) -> Iterator[Plan]:
    """Yield the plans of cuDNN's heuristics that keep to the rules, the fastest first as far as cuDNN knows.

    Args:
        name (str): The array that is computed: ``"y"``, ``"x"`` (its gradient, from W and that of y) or ``"W"``.
        shapes (tuple of tuples): Of W, x and y, all of them C-contiguous.
        dtype (str): ``"e"``, ``"f"`` or ``"d"``: float16, 32 or 64, of all three. Sums are made in float32, or float64.
        geometry (Geometry): Stride, padding, dilation, groups.
        handle (int): From :func:`handle`.
        alignment (int): Bytes that the addresses are multiples of.
        tf32 (bool): May float32 be rounded to TF32?
        deterministic (bool): Must each run give the same bits?
        most (int): The most bytes of memory that a plan may want.

    Raises:
        CudnnError: if there is none.
    """
    graph = _graph(name, shapes, dtype, geometry, handle, alignment)
    refused = {DOWN_CONVERT_INPUTS, REDUCED_PRECISION_REDUCTION} | ({NONDETERMINISTIC} if deterministic else set())
    if dtype == "f" and not tf32:
        refused.add(TENSOR_CORE)
    reason, n_plans = "no engine keeps to the rules", 0
    for config in _configurations(graph):
        (engine,) = config.get_descriptors(CONFIG_ENGINE, ENGINE, 1)
        compiled = RUNTIME_COMPILATION in engine.get(ENGINE_BEHAVIOR, BEHAVIOR, MAX_NOTES)
        if compiled or refused.intersection(engine.get(ENGINE_NOTES, NOTE, MAX_NOTES)):
            continue
        try:
            plan = Plan(config, handle)
        except CudnnError as error:
            reason = str(error)
            continue
        if plan.workspace <= most:
            n_plans += 1
            yield plan
    if not n_plans:
        raise CudnnError(reason)


class _Descriptor:
    """A descriptor of the backend, finalized with its attributes: (number, type, values). cuDNN fills an empty one."""

    def __init__(self, kind: int, *attributes: tuple[Any, ...]) -> None:
        found = ctypes.c_void_p()
        _check("cudnnBackendCreateDescriptor", kind, ctypes.byref(found))
        self.pointer = found.value
        weakref.finalize(self, library().cudnnBackendDestroyDescriptor, self.pointer).atexit = False
        for number, (type_number, c_type), *values in attributes:
            plain = [v.pointer if isinstance(v, _Descriptor) else v for v in values]
            array = (c_type * len(plain))(*plain)
            _check("cudnnBackendSetAttribute", self.pointer, number, type_number, len(plain), array)
        if attributes:
            _check("cudnnBackendFinalize", self.pointer)

    def get(self, number: int, kind: tuple[int, Any], most: int, values: list | tuple = ()) -> list:
        """Return up to ``most`` values of an attribute; cuDNN writes descriptors into those that ``values`` name."""
        count, found = ctypes.c_int64(), (kind[1] * most)(*values)
        out = found if most else None
        _check("cudnnBackendGetAttribute", self.pointer, number, kind[0], most, ctypes.byref(count), out)
        return list(found[: count.value]) if most else [count.value]

    def get_descriptors(self, number: int, kind: int, count: int) -> "list[_Descriptor]":
        """Return the descriptors of an attribute."""
        found = [_Descriptor(kind) for _ in range(count)]
        if count:
            found = found[: len(self.get(number, DESCRIPTOR, count, [d.pointer for d in found]))]
        return found


def _graph(name, shapes, dtype, geometry, handle, alignment):
    arrays = []
    for number, shape in zip(IDS, shapes, strict=True):
        strides = [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1]
        attributes = (
            (TENSOR_ID, INT64, number),
            (TENSOR_DTYPE, DATA_TYPE, DTYPES[dtype]),
            (TENSOR_ALIGNMENT, INT64, alignment),
            (TENSOR_DIMS, INT64, *shape),
            (TENSOR_STRIDES, INT64, *strides),
        )
        arrays.append(_Descriptor(TENSOR, *attributes))
    wide = dtype == "d"
    convolution = _Descriptor(
        CONVOLUTION,
        (CONV_COMPUTE, DATA_TYPE, DTYPES["d" if wide else "f"]),
        (CONV_MODE, CONVOLUTION_MODE, CROSS_CORRELATION),
        (CONV_DIMS, INT64, 2),
        (CONV_DILATIONS, INT64, *geometry.dilate),
        (CONV_STRIDES, INT64, *geometry.stride),
        (CONV_PRE_PADS, INT64, *geometry.pad),
        (CONV_POST_PADS, INT64, *geometry.pad),
    )
    kind, first = OPERATIONS[name]
    scalar = DOUBLE if wide else FLOAT
    values = ((scalar, 1), (scalar, 0), *((DESCRIPTOR, d) for d in (convolution, *arrays)))
    operation = _Descriptor(kind, *((first + i, *value) for i, value in enumerate(values)))
    return _Descriptor(GRAPH, (GRAPH_HANDLE, HANDLE, handle), (GRAPH_OPERATIONS, DESCRIPTOR, operation))


def _configurations(graph: _Descriptor) -> Iterator[_Descriptor]:
    """Yield configurations of engines, the best first."""
    for mode in HEURISTICS:
        try:
            heuristics = _Descriptor(HEUR, (HEUR_GRAPH, DESCRIPTOR, graph), (HEUR_MODE_ASKED, HEUR_MODE, mode))
            (count,) = heuristics.get(HEUR_RESULTS, DESCRIPTOR, 0)
        except CudnnError:  # this mode knows none
            continue
        yield from heuristics.get_descriptors(HEUR_RESULTS, CONFIG, count)


def _check(function, *arguments):
    status = getattr(library(), function)(*arguments)
    if status:
        reason = ctypes.create_string_buffer(1024)
        library().cudnnGetLastErrorString(reason, len(reason))
        text = f"{library().cudnnGetErrorString(status).decode()} {' '.join(reason.value.decode().split())}"
        raise CudnnError(f"{function}: {text}")
