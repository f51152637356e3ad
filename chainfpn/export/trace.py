"""Run a function on two batches of different sizes, and write down the function nodes of both runs side by side.

What is the same in both runs is a constant of the network; what differs came from the size of the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chainer
import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Array, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions.kernels import plain_numpy


class ExportError(ValueError):
    """A chain that cannot be written as ONNX, with the reason."""


class Value:
    """A variable of the network, in both runs.

    Attributes:
        shapes (tuple of tuple of int): In each run.
        dtype (dtype): Its dtype.
        arrays (list of array): What it was in each run, where that is known.
        constant (bool): Whether it does not depend on the input.
        call (Call or None): What it is an output of.
        n_uses (int): Calls that it is an input of, and outputs that it is.
        result (Any): What :mod:`chainfpn.export.translate` made of it.
    """

    def __init__(self, shapes: tuple, dtype: Any, arrays: list[Array], *, constant: bool) -> None:
        self.shapes, self.dtype, self.arrays, self.constant = shapes, np.dtype(dtype), arrays, constant
        self.call: Call | None = None
        self.n_uses = 0
        self.result: Any = None

    @functools.cached_property
    def is_known(self) -> bool:
        """bool: Whether it is a constant, the same array in both runs."""
        return self.constant and len(self.arrays) > 0 and np.array_equal(self.arrays[0], self.arrays[-1])

    @property
    def number(self) -> Any:
        """Any: The one number that every element of a constant is, in both runs; None if there is none."""
        numbers = [array.flat[0] for array in self.arrays if array.size and (array == array.flat[0]).all()]
        return numbers[0] if self.constant and len(numbers) == len(self.shapes) and len({*numbers}) == 1 else None

    def array(self) -> Array:
        """Return the array of a constant.

        Raises:
            ExportError: if it is none.
        """
        if self.is_known:
            return self.arrays[0]
        if not self.constant:
            raise ExportError("weights that are computed from the image have no ONNX operator")
        raise ExportError("numbers that depend on the image, or on its size, were computed outside of functions")


class Call:
    """A function node, in both runs.

    Attributes:
        functions (tuple of chainer.FunctionNode): Of each run.
        inputs (list of Value): Its inputs.
        outputs (list of Value): Its outputs.
        indices (Any): Where maxima are, once a pooling is translated.
    """

    def __init__(self, functions: tuple, inputs: list[Value], outputs: list[Value]) -> None:
        self.functions, self.inputs, self.outputs = functions, inputs, outputs
        self.indices: Any = None


class Trace:
    """What was seen.

    Attributes:
        calls (list of Call): In the order they were made.
        inputs (list of Value): The batch.
        outputs (dict of Value): By name.
    """

    def __init__(self, calls: list[Call], inputs: list[Value], outputs: dict[str, Value]) -> None:
        self.calls, self.inputs, self.outputs = calls, inputs, outputs


class _Recorder(chainer.FunctionHook):
    """Keeps each function node with the arrays that go into it, where the chain itself switches gradients off, too."""

    name = "chainfpn.export"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, tuple]] = []

    def forward_postprocess(self, function: Any, in_data: tuple) -> None:
        """Keep them, and let the node keep its inputs: a chain may have switched that off for a while."""
        chainer.config.enable_backprop = True
        self.calls.append((function, in_data))


def trace(function: Callable[[Variable], Mapping[str, Variable]], shapes: Sequence[Sequence[int]]) -> Trace:
    """Run a function on random batches of two shapes.

    Args:
        function (callable): Variable to a dict of Variables.
        shapes (pair of shapes): Of the batches; no side of one should follow from the other's.

    Returns:
        Trace: The function nodes.

    Raises:
        ExportError: if the function nodes of the two runs differ, or an output is no Variable.
    """
    xs, recorded, results = zip(*(_run(function, shape, seed) for seed, shape in enumerate(shapes)), strict=True)
    if any(node.inputs is None or node.outputs is None for nodes in recorded for node, _ in nodes):
        raise ExportError("the chain cuts what it has computed off (unchain_backward): what led there is not known")
    kinds = [[(type(node), len(node.outputs)) for node, _ in nodes] for nodes in recorded]
    if kinds[0] != kinds[1]:
        raise ExportError(
            "the functions that are called depend on the size of the image: name sizes at which they do not"
        )
    values: dict[tuple[int, ...], Value] = {}
    batch = _value(values, [x.node for x in xs], [x.array for x in xs], constant=False)
    calls = []
    for (first, in_first), (second, in_second) in zip(*recorded, strict=True):
        inputs = [
            _value(values, nodes, [as_array(array) for array in arrays], constant=True)
            for *nodes, arrays in zip(first.inputs, second.inputs, zip(in_first, in_second, strict=True), strict=True)
        ]
        constant = all(value.constant for value in inputs)
        outputs = [
            _value(values, [first_node(), second_node()], [], constant=constant)
            for first_node, second_node in zip(first.outputs, second.outputs, strict=True)
        ]
        call = Call((first, second), inputs, outputs)
        for value in outputs:
            value.call = call
        calls.append(call)
    named = {}
    for name, variable in results[0].items():
        if not isinstance(name, str):
            raise ExportError(f"names of outputs must be str, got {name!r}")
        pair = [result[name] for result in results]
        if not isinstance(variable, chainer.Variable):
            raise ExportError(f"output {name} is a {type(variable).__name__}, not a Variable")
        named[name] = _value(values, [v.node for v in pair], [as_array(v) for v in pair], constant=True)
    return Trace(calls, [batch], named)


def _run(function, shape, seed):
    """Run a function on a random batch; return the batch, the function nodes with what went in, and the results."""
    random = np.random.Generator(np.random.PCG64(seed))
    x = chainer.Variable(random.random(shape, dtype=np.float32) * np.float32(4) - np.float32(2))
    recorder, float32 = _Recorder(), chainer.using_config("dtype", np.dtype(np.float32))
    with chainer.using_config("train", False), chainer.force_backprop_mode(), float32, plain_numpy(), recorder:
        results = function(x)
    return x, recorder.calls, results


def _value(values, nodes, arrays, *, constant):
    """Return the Value of a variable node of each run; a new one if they have not been met."""
    if None in nodes:  # an output that nothing used
        return Value(((), ()), np.float32, [], constant=constant)
    key = tuple(map(id, nodes))
    if key not in values:
        shapes = tuple(tuple(node.shape) for node in nodes)
        values[key] = Value(shapes, nodes[0].dtype, arrays, constant=constant)
    value = values[key]
    value.arrays = value.arrays or arrays
    return value


def as_array(value: Any) -> Array:
    """Return the NumPy array of a Variable or array."""
    return cuda.to_cpu(getattr(value, "array", value))


def check_float32(name: str, model: Any) -> None:
    """Raise an InvalidArgument if a chain's weights are not float32.

    Args:
        name (str): Who asks.
        model (chainer.Link): The chain.
    """
    dtypes = {str(param.dtype) for param in model.params() if param.array is not None} - {"float32"}
    if dtypes:
        raise InvalidArgument(name, "model", "of float32 weights", model, got=f"weights of {', '.join(sorted(dtypes))}")
