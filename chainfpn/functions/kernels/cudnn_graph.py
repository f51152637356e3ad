"""cuDNN 9's graph API: an execution plan per convolution, with what follows it or not, made once and cheap to run.

CuPy 14 has no cuDNN, and cuDNN's calls of old take the host 0.1 to 0.2 ms each. A plan takes some microseconds. The
numbers below are those of ``cudnn_graph.h``, which are the same in all of cuDNN 9.
"""

from collections.abc import Iterator
from typing import Any

from chainfpn.functions.kernels.convolution import Geometry
from chainfpn.functions.kernels.cudnn_backend import (
    BEHAVIOR,
    BOOLEAN,
    CONVOLUTION_MODE,
    DATA_TYPE,
    DESCRIPTOR,
    DOUBLE,
    FLOAT,
    HANDLE,
    HEUR_MODE,
    INT64,
    NAN_PROPAGATION,
    NOTE,
    POINTER,
    POINTWISE_MODE,
    CudnnError,
    Descriptor,
    check,
)

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

#: Descriptors, and the numbers of their attributes.
POINTWISE, CONVOLUTION, ENGINE, CONFIG, HEUR, PLAN, GRAPH, VARIANT_PACK, TENSOR = 0, 1, 2, 3, 4, 5, 15, 16, 17
POINTWISE_KIND, POINTWISE_COMPUTE, POINTWISE_NANS = range(3)
CONV_COMPUTE, CONV_MODE, CONV_DILATIONS, CONV_STRIDES, CONV_POST_PADS, CONV_PRE_PADS, CONV_DIMS = range(100, 107)
HEUR_MODE_ASKED, HEUR_GRAPH, HEUR_RESULTS = 200, 201, 202
CONFIG_ENGINE, ENGINE_NOTES, ENGINE_BEHAVIOR = 300, 1303, 1305
PLAN_HANDLE, PLAN_CONFIG, PLAN_WORKSPACE = 400, 401, 402
GRAPH_HANDLE, GRAPH_OPERATIONS = 800, 801
TENSOR_ALIGNMENT, TENSOR_DTYPE, TENSOR_DIMS, TENSOR_STRIDES, TENSOR_ID, TENSOR_IS_VIRTUAL = 900, 901, 902, 903, 906, 907
PACK_IDS, PACK_POINTERS, PACK_WORKSPACE = 1000, 1001, 1003
#: The operation that computes an array, and its first attribute. Six follow: alpha, beta, convolution, W, x, y.
OPERATIONS = {"y": (10, 700), "x": (12, 706), "W": (11, 712)}
#: A pointwise operation, the numbers of its attributes, and cudnnPointwiseMode_t.
POINTWISE_OPERATION = 13
POINTWISE_OF, POINTWISE_X, POINTWISE_B, POINTWISE_Y = range(750, 754)
ADD, RELU = 0, 100
PROPAGATE_NANS = 1
#: What W, x, y, the bias and the residual are called in a graph; arrays that are never in memory come after them.
IDS = (1, 2, 3, 4, 5)


class Plan:
    """An execution plan of cuDNN for one of the arrays of a convolution; see :func:`plans`.

    Attributes:
        workspace (int): Bytes of memory that :meth:`run` needs.
    """

    def __init__(self, config: "Descriptor", handle: int) -> None:
        self._config = config
        self._plan = Descriptor(PLAN, (PLAN_HANDLE, HANDLE, handle), (PLAN_CONFIG, DESCRIPTOR, config))
        (self.workspace,) = self._plan.get(PLAN_WORKSPACE, INT64, 1)
        self._packs: dict[Any, Descriptor] = {}

    def run(self, handle: int, pointers: tuple[int, ...], workspace: int) -> None:
        """Compute on the stream of a handle.

        Args:
            handle (int): From :func:`cudnn_backend.handle`.
            pointers (tuple of int): Addresses of W, x, y and what else there is; the one that is computed is written.
            workspace (int): Address of so many bytes as the plan wants.
        """
        pack = self._packs.get((pointers, workspace))
        if pack is None:
            if len(self._packs) == MAX_PACKS:
                self._packs.clear()
            values = (
                (PACK_IDS, INT64, *IDS[: len(pointers)]),
                (PACK_POINTERS, POINTER, *pointers),
                (PACK_WORKSPACE, POINTER, workspace),
            )
            pack = self._packs[pointers, workspace] = Descriptor(VARIANT_PACK, *values)
        check("cudnnBackendExecute", handle, self._plan.pointer, pack.pointer)


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
    relu: bool = False,
    most: int = WORKSPACE_BYTES,
) -> Iterator[Plan]:
    """Yield the plans of cuDNN's heuristics that keep to the rules, the fastest first as far as cuDNN knows.

    Args:
        name (str): The array that is computed: ``"y"``, ``"x"`` (its gradient, from W and that of y) or ``"W"``.
        shapes (tuple of tuples): Of W, x and y, all of them C-contiguous; for more than a convolution of a bias, too,
            (1, O, 1, 1), and maybe of a residual, that of y: y = relu(convolution + residual + bias).
        dtype (str): ``"e"``, ``"f"`` or ``"d"``: float16, 32 or 64, of all three. Sums are made in float32, or float64.
        geometry (Geometry): Stride, padding, dilation, groups.
        handle (int): From :func:`cudnn_backend.handle`.
        alignment (int): Bytes that the addresses are multiples of.
        tf32 (bool): May float32 be rounded to TF32?
        deterministic (bool): Must each run give the same bits?
        relu (bool): With a bias, whether to rectify. cuDNN has no plan for what has no bias.
        most (int): The most bytes of memory that a plan may want.

    Raises:
        CudnnError: if there is none.
    """
    graph = _graph(name, shapes, dtype, geometry, handle, alignment, relu)
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


def _graph(name, shapes, dtype, geometry, handle, alignment, relu):
    number = DTYPES[dtype]
    arrays = [_tensor(*given, number, alignment) for given in zip(IDS[: len(shapes)], shapes, strict=True)]
    wide = dtype == "d"
    compute = DTYPES["d" if wide else "f"]
    followers = [*((ADD, array) for array in reversed(arrays[3:])), *[(RELU, None)] * relu]
    between = [
        _tensor(IDS[-1] + 1 + k, shapes[2], compute, ALIGNMENT, (TENSOR_IS_VIRTUAL, BOOLEAN, True))
        for k in range(len(followers))
    ]
    convolution = Descriptor(
        CONVOLUTION,
        (CONV_COMPUTE, DATA_TYPE, compute),
        (CONV_MODE, CONVOLUTION_MODE, CROSS_CORRELATION),
        (CONV_DIMS, INT64, 2),
        (CONV_DILATIONS, INT64, *geometry.dilate),
        (CONV_STRIDES, INT64, *geometry.stride),
        (CONV_PRE_PADS, INT64, *geometry.pad),
        (CONV_POST_PADS, INT64, *geometry.pad),
    )
    kind, first = OPERATIONS[name]
    scalar = DOUBLE if wide else FLOAT
    results = [*between, arrays[2]]
    values = ((scalar, 1), (scalar, 0), *((DESCRIPTOR, d) for d in (convolution, *arrays[:2], results[0])))
    operations = [Descriptor(kind, *((first + i, *value) for i, value in enumerate(values)))]
    operations += map(_pointwise, followers, results, results[1:], [compute] * len(followers))
    return Descriptor(GRAPH, (GRAPH_HANDLE, HANDLE, handle), (GRAPH_OPERATIONS, DESCRIPTOR, *operations))


def _tensor(number, shape, dtype, alignment, *more):
    attributes = (
        (TENSOR_ID, INT64, number),
        (TENSOR_DTYPE, DATA_TYPE, dtype),
        (TENSOR_ALIGNMENT, INT64, alignment),
        (TENSOR_DIMS, INT64, *shape),
        (TENSOR_STRIDES, INT64, shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1),
    )
    return Descriptor(TENSOR, *attributes, *more)


def _pointwise(follower, x, y, compute):
    """Return the operation that adds an array to x, or rectifies it, which NaN survives."""
    mode, added = follower
    nans = [] if added else [(POINTWISE_NANS, NAN_PROPAGATION, PROPAGATE_NANS)]
    kind = Descriptor(POINTWISE, (POINTWISE_KIND, POINTWISE_MODE, mode), (POINTWISE_COMPUTE, DATA_TYPE, compute), *nans)
    arrays = ((POINTWISE_OF, kind), (POINTWISE_X, x), *[(POINTWISE_B, added)] * bool(added), (POINTWISE_Y, y))
    return Descriptor(POINTWISE_OPERATION, *((number, DESCRIPTOR, array) for number, array in arrays))


def _configurations(graph: Descriptor) -> Iterator[Descriptor]:
    """Yield configurations of engines, the best first."""
    for mode in HEURISTICS:
        try:
            heuristics = Descriptor(HEUR, (HEUR_GRAPH, DESCRIPTOR, graph), (HEUR_MODE_ASKED, HEUR_MODE, mode))
            (count,) = heuristics.get(HEUR_RESULTS, DESCRIPTOR, 0)
        except CudnnError:  # this mode knows none
            continue
        yield from heuristics.get_descriptors(HEUR_RESULTS, CONFIG, count)
