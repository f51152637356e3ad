"""A graph of ONNX operators, built node by node."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainfpn._typing import Array
from chainfpn.errors import InvalidArgument
from chainfpn.export._onnx import require_onnx

#: Version of ONNX's operators that files are written in: the first with everything they need but RoiAlign's half pixel,
#: which 16 brought, plus what today's runtimes read best.
OPSET = 17
#: Version of the file format that belongs to it.
IR_VERSION = 8
#: Numbers up to which a constant is a small one.
SMALL = 64
#: Bytes of the constants that a file has room for: protobuf counts all it has in 31 bits.
ROOM = 2**31 - 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a graph: operators on it add nodes.

    Attributes:
        graph (Graph): The graph.
        name (str): Its name there.
        dtype (dtype): Its dtype.
    """

    graph: Graph
    name: str
    dtype: np.dtype

    def __add__(self, other: Any) -> Tensor:
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Any) -> Tensor:
        return self.graph.op("Sub", self, other)

    def __mul__(self, other: Any) -> Tensor:
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: Any) -> Tensor:
        return self.graph.op("Div", self, other)

    def __gt__(self, other: Any) -> Tensor:
        return self.graph.op("Greater", self, other, dtype=bool)

    def __ge__(self, other: Any) -> Tensor:
        return self.graph.op("GreaterOrEqual", self, other, dtype=bool)

    def __and__(self, other: Tensor) -> Tensor:
        return self.graph.op("And", self, other)

    def equals(self, other: Any) -> Tensor:
        """Return where both are equal: bool."""
        return self.graph.op("Equal", self, other, dtype=bool)

    def shape(self, start: int = 0, end: int | None = None) -> Tensor:
        """Return the sides of some axes: int64, (end - start,)."""
        ends = {} if end is None else {"end": end}
        return self.graph.op("Shape", self, dtype=np.int64, start=start, **ends)

    def cast(self, dtype: type | np.dtype) -> Tensor:
        """Return the same numbers in another dtype."""
        kind = self.graph.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.graph.op("Cast", self, dtype=dtype, to=kind)

    def reshape(self, *shape: int | Tensor) -> Tensor:
        """Return the same numbers in another shape; 0 keeps a side, -1 is what is left, a Tensor is all of it."""
        return self.graph.op("Reshape", self, shape[0] if isinstance(shape[0], Tensor) else [*shape])

    def transpose(self, *axes: int) -> Tensor:
        """Return the same with its axes in another order."""
        return self.graph.op("Transpose", self, perm=axes)

    def gather(self, indices: Tensor | int | Sequence[int], axis: int = 0) -> Tensor:
        """Return the rows, or what else the axis is of, of some indices; a single index takes the axis away."""
        at = indices if isinstance(indices, Tensor) else np.array(indices, np.int64)
        return self.graph.op("Gather", self, at, axis=axis)

    def slice(self, start: int | Tensor, end: int | Tensor, axis: int = 0) -> Tensor:
        """Return the part of an axis from start to before end."""
        bounds = [at if isinstance(at, Tensor) else [at] for at in (start, end)]
        return self.graph.op("Slice", self, *bounds, [axis])

    def unsqueeze(self, *axes: int) -> Tensor:
        """Return the same with new axes of side 1."""
        return self.graph.op("Unsqueeze", self, [*axes])

    def columns(self) -> list[Tensor]:
        """Split a last axis of 4: four tensors of side 1 there."""
        return self.graph.multi_op("Split", 4, self, axis=-1)


class Graph:
    """Nodes, constants, inputs and outputs.

    Args:
        parent (Graph or None): The graph around the body of a loop, whose tensors the body may use.
    """

    def __init__(self, parent: Graph | None = None) -> None:
        self.onnx = require_onnx()
        self.helper = self.onnx.helper
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._parent = parent
        if parent is None:
            self._constants: dict[Any, list[str]] = {}
            self._initializers: dict[str, Array] = {}
            self._counter = itertools.count()

    @property
    def _root(self):
        """The outermost graph, which has the constants; as an attribute of its own it would never go by itself."""
        return self if self._parent is None else self._parent._root

    def own(self, *tensors: Tensor) -> list[Tensor]:
        """Return tensors of the graph around the body of a loop as tensors of the body."""
        return [dataclasses.replace(tensor, graph=self) for tensor in tensors]

    def input(self, name: str, dtype: Any, shape: Sequence[int | str]) -> Tensor:
        """Declare an input; a str in its shape names a side that may be of any length."""
        kind = self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._inputs.append(self.helper.make_tensor_value_info(name, kind, list(shape)))
        return Tensor(self, name, np.dtype(dtype))

    def output(self, name: str, value: Tensor, shape: Sequence[int | str]) -> None:
        """Declare an output by its own name; for the shape see :meth:`input`."""
        self._nodes.append(self.helper.make_node("Identity", [value.name], [name], name=name))
        kind = self.helper.np_dtype_to_tensor_dtype(value.dtype)
        self._outputs.append(self.helper.make_tensor_value_info(name, kind, list(shape)))

    def constant(self, value: Any, name: str | None = None) -> Tensor:
        """Return an array as a tensor; equal ones, as a head's on every level, stand in the file once."""
        root, value = self._root, np.ascontiguousarray(value).reshape(np.shape(value))
        alike = root._constants.setdefault((value.ravel()[:SMALL].tobytes(), value.dtype.str, value.shape), [])
        known = next((key for key in alike if root._initializers[key].tobytes() == value.tobytes()), None)
        if known is None:
            known = f"{name}#{next(root._counter)}" if name else f"constant#{next(root._counter)}"
            root._initializers[known] = value
            alike.append(known)
        return Tensor(self, known, value.dtype)

    def op(self, kind: str, *inputs: Any, dtype: Any = None, **attributes: Any) -> Tensor:
        """Add a node with one output.

        Args:
            kind (str): The operator.
            *inputs (Tensor, array, number, list of int or None): A number is of the dtype of the first Tensor; a list
                is of int64; None leaves an input out.
            dtype (dtype or None): Of the output; that of the first Tensor by default.
            **attributes: Of the operator.

        Returns:
            Tensor: The output.
        """
        return self.multi_op(kind, 1, *inputs, dtype=dtype, **attributes)[0]

    def multi_op(self, kind: str, n: int, *inputs: Any, dtype: Any = None, **attributes: Any) -> list[Tensor]:
        """Add a node with n outputs, see :meth:`op`; ``dtype`` may be a list."""
        first = next((x.dtype for x in inputs if isinstance(x, Tensor)), np.dtype(np.float32))
        names = [self._input_name(x, first) for x in inputs]
        number = next(self._root._counter)
        outputs = [f"{kind}#{number}" + (f".{i}" if i else "") for i in range(n)]
        self._nodes.append(self.helper.make_node(kind, names, outputs, name=f"{kind}#{number}", **attributes))
        dtypes = dtype if isinstance(dtype, list) else [first if dtype is None else dtype] * n
        return [Tensor(self, name, np.dtype(d)) for name, d in zip(outputs, dtypes, strict=True)]

    def _input_name(self, value, dtype):
        if value is None:
            return ""
        if isinstance(value, Tensor):
            return value.name
        if isinstance(value, list):
            value = np.array(value, np.int64)
        return self.constant(np.array(value, dtype) if type(value) in (bool, int, float) else value).name

    def concat(self, parts: Sequence[Any], axis: int = 0) -> Tensor:
        """Join tensors, or sides of a shape given as tensors (n,) and lists of int."""
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=axis)

    def range(self, n: Tensor, dtype: Any = np.int64) -> Tensor:
        """Return 0, 1, ... up to before n, an int64 tensor ()."""
        numbers = self.op("Range", np.int64(0).reshape(()), n, np.int64(1).reshape(()), dtype=np.int64)
        return numbers if dtype == np.int64 else numbers.cast(dtype)

    def proto(self, name: str, outside: dict[str, Array] | None = None) -> Any:
        """Return the onnx.GraphProto, without the nodes that nothing depends on; for ``outside`` see :meth:`model`."""
        needed, nodes = {value.name for value in self._outputs}, []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                nodes.append(node)
                needed.update(node.input)
                for attribute in node.attribute:
                    needed.update(name for inner in attribute.g.node for name in inner.input)
        constants = self._initializers if self._root is self else {}
        arrays = {key: value for key, value in constants.items() if key in needed}
        inside = {key: value for key, value in arrays.items() if outside is None or value.size <= SMALL}
        n_bytes = sum(value.nbytes for value in inside.values())
        if n_bytes > ROOM:
            raise InvalidArgument("export_onnx", "weights", f"up to {ROOM} bytes, the room of an ONNX file", n_bytes)
        initializers = [self.onnx.numpy_helper.from_array(value, key) for key, value in inside.items()]
        if outside is not None:
            outside |= {key: value for key, value in arrays.items() if key not in inside}
            initializers += [self._placeholder(key, value) for key, value in outside.items()]
        return self.helper.make_graph(nodes[::-1], name, self._inputs, self._outputs, initializers)

    def _placeholder(self, name, value):
        """Return the onnx.TensorProto of a constant that is handed over beside the file."""
        kind, external = self.helper.np_dtype_to_tensor_dtype(value.dtype), self.onnx.TensorProto.EXTERNAL
        tensor = self.onnx.TensorProto(name=name, data_type=kind, dims=value.shape, data_location=external)
        for key, text in {"location": "outside", "offset": "0", "length": str(value.nbytes)}.items():
            tensor.external_data.add(key=key, value=text)
        return tensor

    def model(self, name: str, metadata: Mapping[str, str], outside: dict[str, Array] | None = None) -> Any:
        """Return the onnx.ModelProto.

        Args:
            name (str): Its name.
            metadata (mapping): Texts about it.
            outside (dict or None): Takes the large constants by name, which are then not in the model: a runtime is
                handed them without a copy.

        Returns:
            onnx.ModelProto: The model.
        """
        from chainfpn import __version__

        opset = self.helper.make_opsetid("", OPSET)
        proto = self.helper.make_model(
            self.proto(name, outside), opset_imports=[opset], producer_name="chainfpn", producer_version=__version__
        )
        proto.ir_version = IR_VERSION
        self.helper.set_model_props(proto, dict(metadata))
        return proto
