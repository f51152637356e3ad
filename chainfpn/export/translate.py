"""Turn the function nodes that :mod:`chainfpn.export.trace` saw into nodes of an ONNX graph."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from chainfpn._typing import Array
from chainfpn.export.graph import Graph, Tensor
from chainfpn.export.trace import Call, ExportError, Trace, Value


class Layer(NamedTuple):
    """A convolution or linear layer that is not in the graph yet, so that a scale and a shift can still go into it.

    Attributes:
        W (array): Its weights.
        b (array): Its bias, (O,).
        out_axis (int): The axis of W that is of the outputs.
        name (str): The weights' own name.
        emit (callable): Weights and bias as tensors to the output.
    """

    W: Array
    b: Array
    out_axis: int
    name: str
    emit: Callable[[Tensor, Tensor], Tensor]

    def scaled(self, scale: Array, shift: Array) -> Layer:
        """Return the layer that multiplies each output by a scale and adds a shift, (O,) both."""
        over = [1] * self.W.ndim
        over[self.out_axis] = -1
        W = (self.W.astype(np.float64) * scale.reshape(over)).astype(self.W.dtype)
        return self._replace(W=W, b=(self.b * scale + shift).astype(self.W.dtype))

    def put(self, graph: Graph) -> Tensor:
        """Put the layer into the graph as it is now."""
        W, b = graph.constant(self.W, self.name), graph.constant(self.b, self.name.removesuffix("W") + "b")
        return self.emit(W, b)


class Expanded(NamedTuple):
    """A tensor that is broadcast, which arithmetic does by itself.

    Attributes:
        small (Tensor): Before.
        emit (callable): Returns it afterwards.
    """

    small: Tensor
    emit: Callable[[], Tensor]


#: What a translator returns: an output, or each of several.
Translated: TypeAlias = Tensor | Layer | Expanded | list[Tensor] | list[Expanded]


class Site:
    """Where a function node is translated: its call, and the graph so far.

    Args:
        graph (Graph): The graph.
        call (Call): The call.
        known (list of Value): What is in the graph already.
        names (mapping): id of an array to its name in the model.
    """

    def __init__(self, graph: Graph, call: Call, known: Sequence[Value], names: Mapping[int, str]) -> None:
        self.graph, self.call, self._known, self._names = graph, call, known, names

    @property
    def function(self) -> Any:
        """The function node of the first run."""
        return self.call.functions[0]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of the first output in each run."""
        return self.call.outputs[0].shapes

    def same(self, name: str) -> Any:
        """Return an attribute of the function node that must be the same in both runs."""
        first, second = (getattr(function, name) for function in self.call.functions)
        if not np.array_equal(first, second):
            raise ExportError(f"{name} of {type(self.function).__name__} depends on the size of the image")
        return first

    def tensor(self, i: int = 0) -> Tensor:
        """Return an input; one number all over, as zeros of the size of a map, becomes as large as it must be."""
        value = self.call.inputs[i]
        if value.result is None and not value.is_known and value.number is not None:
            number = np.array(value.number, value.dtype)
            value.result = self.graph.op("Expand", number, self.shape_of(value.shapes), dtype=value.dtype)
        return tensor_of(self.graph, value, self._names)

    def of(self, value: Value) -> Tensor:
        """Return any value."""
        return tensor_of(self.graph, value, self._names)

    def find_call(self, attribute: str) -> Call | None:
        """Return the earlier call whose function node has the very array that an attribute of this one is."""
        wanted = getattr(self.function, attribute)
        calls = (value.call for value in self._known if value.call is not None)
        return next((call for call in calls if getattr(call.functions[0], attribute, None) is wanted), None)

    def tensors(self) -> list[Tensor]:
        """Return all inputs."""
        return [self.tensor(i) for i in range(len(self.call.inputs))]

    def operands(self) -> list[Tensor]:
        """Return the inputs of arithmetic, which need not be broadcast where another has the whole shape."""
        values = self.call.inputs
        whole = [not isinstance(v.result, Expanded) and v.shapes == self.shapes for v in values]
        return [
            value.result.small if isinstance(value.result, Expanded) and any(whole) else self.tensor(i)
            for i, value in enumerate(values)
        ]

    def array(self, i: int) -> Array:
        """Return an input that must be constant."""
        return self.call.inputs[i].array()

    def name(self, i: int) -> str:
        """Return the model's name of a constant input."""
        array = self.call.inputs[i].arrays[0]
        return self._names.get(id(array)) or self._names.get(id(array.base), "constant")  # of what was reshaped, too

    def shape_of(self, sides: Sequence[tuple[int, ...]], start: int = 0) -> Tensor:
        """Return sides as a tensor: those of what in the graph has them in both runs, from an axis on; or one by one.

        Raises:
            ExportError: if one of them is unknown.
        """
        if len({*map(tuple, sides)}) == 1:
            return self.graph.constant(np.array(sides[0], np.int64))
        for kind in (Tensor, Layer):  # what is in the graph already comes first: it costs nothing
            for value in self._known:
                if isinstance(value.result, kind) and tuple(s[start:] for s in value.shapes) == tuple(sides):
                    return tensor_of(self.graph, value, self._names).shape(start)
        parts = [self.side(pair) for pair in zip(*sides, strict=True)]
        if None in parts:
            raise ExportError(f"the shape {sides[0]} follows from the size of the image in a way that is not known")
        return self.graph.concat(parts)

    def side(self, pair: Sequence[int]) -> Tensor | list[int] | None:
        """Return a side, (1,): a constant, that of what is in the graph, or a product of neighbours of the input."""
        if len({*pair}) == 1:
            return [int(pair[0])]
        x = self.call.inputs[:1] if isinstance(self.call.inputs[0].result, Tensor | Layer | Expanded) else []
        for value in (*x, *sorted(self._known, key=lambda value: not isinstance(value.result, Tensor))):
            for axis, sides in enumerate(zip(*value.shapes, strict=True)):
                if sides == tuple(pair):
                    return self.of(value).shape(axis, axis + 1)
        for value in x:
            for first, last in itertools.combinations(range(len(value.shapes[0]) + 1), 2):
                if tuple(math.prod(shape[first:last]) for shape in value.shapes) == tuple(pair):
                    return self.graph.op("ReduceProd", self.of(value).shape(first, last), keepdims=1)
        return None


def tensor_of(graph: Graph, value: Value, names: Mapping[int, str]) -> Tensor:
    """Return what a value is in the graph, and put it there if it is not yet.

    Raises:
        ExportError: if it cannot be.
    """
    result = value.result
    if isinstance(result, Tensor):
        return result
    if isinstance(result, Layer):
        value.result = result.put(graph)
    elif isinstance(result, Expanded):
        value.result = result.emit()
    elif value.constant and (result is None or isinstance(result, ExportError)):
        value.result = graph.constant(value.array(), names.get(id(value.arrays[0]), "constant"))
    elif isinstance(result, ExportError):
        raise result
    return value.result


def translate(graph: Graph, trace: Trace, inputs: Sequence[Tensor], names: Mapping[int, str]) -> dict[str, Tensor]:
    """Add what was traced to a graph.

    Args:
        graph (Graph): The graph.
        trace (Trace): The function nodes.
        inputs (sequence of Tensor): The batch.
        names (mapping): id of an array to its name in the model.

    Returns:
        dict: Name to output.

    Raises:
        ExportError: if an output needs a function that there is no ONNX operator for, which is named.
    """
    from chainfpn.export.translators import find_translator

    for value, tensor in zip(trace.inputs, inputs, strict=True):
        value.result = tensor
    for value in [*trace.outputs.values(), *(v for call in trace.calls for v in call.inputs)]:
        value.n_uses += 1
    known = list(trace.inputs)
    for call in trace.calls:
        if call.outputs[0].is_known:
            continue
        try:
            results = find_translator(call.functions[0])(Site(graph, call, known, names))
        except ExportError as error:  # which matters only to what needs the outputs
            results = [error] * len(call.outputs)
        for value, result in zip(call.outputs, results if isinstance(results, list) else [results], strict=False):
            value.result = result
            if not isinstance(result, ExportError):
                known.append(value)
    outputs = {name: tensor_of(graph, value, names) for name, value in trace.outputs.items()}
    known.clear()  # values know their sites, which know this list: a circle, in which all folded weights would stay
    for call in trace.calls:
        call.outputs.clear()  # each knows its call: likewise, with all arrays of both runs
    return outputs
