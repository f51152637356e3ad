"""Element by element, and reductions."""

import math

import numpy as np
from chainer.functions.activation.clipped_relu import ClippedReLU
from chainer.functions.activation.crelu import CReLU
from chainer.functions.activation.elu import ELU
from chainer.functions.activation.hard_sigmoid import HardSigmoid
from chainer.functions.activation.leaky_relu import LeakyReLU
from chainer.functions.activation.log_softmax import LogSoftmax
from chainer.functions.activation.prelu import PReLUFunction
from chainer.functions.activation.relu import ReLU
from chainer.functions.activation.sigmoid import Sigmoid
from chainer.functions.activation.softmax import Softmax
from chainer.functions.activation.softplus import Softplus
from chainer.functions.activation.tanh import Tanh
from chainer.functions.array.where import Where
from chainer.functions.math import basic_math
from chainer.functions.math.average import Mean
from chainer.functions.math.clip import Clip
from chainer.functions.math.einsum import EinSum
from chainer.functions.math.erf import Erf
from chainer.functions.math.exponential import Exp, Log
from chainer.functions.math.identity import Identity
from chainer.functions.math.linear_interpolate import LinearInterpolate
from chainer.functions.math.logsumexp import LogSumExp
from chainer.functions.math.matmul import MatMul
from chainer.functions.math.maximum import Maximum
from chainer.functions.math.minimum import Minimum
from chainer.functions.math.minmax import ArgMax, Max, Min
from chainer.functions.math.prod import Prod
from chainer.functions.math.sqrt import Sqrt
from chainer.functions.math.square import Square
from chainer.functions.math.sum import Sum
from chainer.functions.math.trigonometric import Arctan, Cos, Sin
from chainer.functions.rnn.lstm import LSTM

from chainfpn.export.trace import ExportError
from chainfpn.export.translate import Site, Translated
from chainfpn.functions._gelu import NormalCDF


def _unary(kind, **attributes):
    """Make the translator of a function of one input; attributes are those of the operator, named as the function's."""

    def translate(site):
        values = {name: float(site.same(of)) for name, of in attributes.items()}
        return site.graph.op(kind, site.tensor(), **values)

    return translate


def _binary(kind):
    """Make the translator of arithmetic of two inputs or more."""

    def translate(site):
        first, *others = site.operands()
        for other in others:
            first = site.graph.op(kind, first, other)
        return first

    return translate


def _with_constant(kind, *, swapped=False):
    """Make the translator of arithmetic with a number of the function's own."""

    def translate(site):
        x, value = site.tensor(), float(site.same("value"))
        return site.graph.op(kind, value, x) if swapped else site.graph.op(kind, x, value)

    return translate


def _reduction(kind, *, axes_are_input=False):
    """Make the translator of a reduction over axes."""

    def translate(site):
        axis = site.same("axis")
        axes = [*range(len(site.call.inputs[0].shapes[0]))] if axis is None else list(axis)
        keepdims = int(site.same("keepdims"))
        if axes_are_input:
            return site.graph.op(kind, site.tensor(), axes, keepdims=keepdims)
        return site.graph.op(kind, site.tensor(), axes=axes, keepdims=keepdims)

    return translate


def _softmax(kind):
    """Make the translator of softmax, or of its logarithm."""
    return lambda site: site.graph.op(kind, site.tensor(), axis=site.same("axis"))


def clipped_relu(site: Site) -> Translated:
    """Cut off below 0 and above the cap."""
    return site.graph.op("Clip", site.tensor(), 0.0, float(site.same("cap")))


def clip(site: Site) -> Translated:
    """Cut off below and above."""
    bounds = [None if bound is None else float(bound) for bound in (site.same("x_min"), site.same("x_max"))]
    return site.graph.op("Clip", site.tensor(), *bounds)


def mul_constant(site: Site) -> Translated:
    """Multiply by a number; a sixth of what ReLU6 gives of x + 3 is the hard sigmoid of MobileNetV3, one operator."""
    relu = site.call.inputs[0].call
    add = relu and relu.inputs[0].call
    if relu and add and site.same("value") == 1 / 6:
        cap, summand = (getattr(c.functions[0], name, None) for c, name in ((relu, "cap"), (add, "value")))
        if isinstance(add.functions[0], basic_math.AddConstant) and (cap, summand) == (6, 3):
            return site.graph.op("HardSigmoid", site.of(add.inputs[0]), alpha=1 / 6, beta=0.5)
    return _with_constant("Mul")(site)


def hard_sigmoid(site: Site) -> Translated:
    """Cut 0.2 x + 0.5 off below 0 and above 1."""
    return site.graph.op("HardSigmoid", site.tensor(), alpha=0.2, beta=0.5)


def softplus(site: Site) -> Translated:
    """Take the smooth maximum of x and 0."""
    beta = float(site.same("beta"))
    return site.graph.op("Softplus", site.tensor() * beta) / beta


def normal_cdf(site: Site) -> Translated:
    """Compute (1 + erf(x / sqrt 2)) / 2."""
    return site.graph.op("Erf", site.tensor() * math.sqrt(0.5)) * 0.5 + 0.5


def matmul(site: Site) -> Translated:
    """Multiply matrices."""
    matrices = [
        site.graph.op("Transpose", x, perm=[*range(n - 2), n - 1, n - 2]) if site.same(name) else x
        for x, n, name in zip(
            site.tensors(), (len(v.shapes[0]) for v in site.call.inputs), ("transa", "transb"), strict=True
        )
    ]
    if any(len(value.shapes[0]) < 2 for value in site.call.inputs):
        raise ExportError("a product of a matrix and a vector has no ONNX operator")
    return site.graph.op("MatMul", *matrices)


def prelu(site: Site) -> Translated:
    """Multiply what is negative by weights, which are those of the axes behind the first."""
    W = site.array(1)
    slope = W.reshape(W.shape + (1,) * (len(site.shapes[0]) - 1 - W.ndim))
    return site.graph.op("PRelu", site.tensor(), site.graph.constant(slope, site.name(1)))


def crelu(site: Site) -> Translated:
    """Join what is positive and what is negative."""
    x = site.tensor()
    return site.graph.concat([site.graph.op("Relu", each) for each in (x, site.graph.op("Neg", x))], site.same("axis"))


def linear_interpolate(site: Site) -> Translated:
    """Weigh two maps by a third."""
    weight, x, y = site.tensors()
    return weight * x + site.graph.op("Sub", 1.0, weight) * y


def lstm(site: Site) -> Translated:
    """Compute the cell and the output from the cell before and four gates, which alternate."""
    cell, x = site.tensors()
    if len({value.shapes[0][0] for value in site.call.inputs}) > 1 or len(site.shapes[0]) > 2:
        raise ExportError("an LSTM over maps, or over sequences of several lengths, has no ONNX operator")
    gates = x.reshape(0, site.call.inputs[0].shapes[0][1], 4)
    new, *others = (gates.gather(i, axis=2) for i in range(4))
    enter, stay, leave = (site.graph.op("Sigmoid", gate) for gate in others)
    after = site.graph.op("Tanh", new) * enter + stay * cell
    return [after, leave * site.graph.op("Tanh", after)]


def logsumexp(site: Site) -> Translated:
    """Take the logarithm of a sum of exponentials; of ReduceLogSumExp OpenVINO reduces all axes."""
    graph, x, n = site.graph, site.tensor(), len(site.call.inputs[0].shapes[0])
    axes = [axis % n for axis in (range(n) if site.same("axis") is None else site.same("axis"))]
    largest = graph.op("ReduceMax", x, axes=axes, keepdims=1)
    total = graph.op("ReduceSum", graph.op("Exp", x - largest), axes, keepdims=0)
    return graph.op("Log", total) + graph.op("Squeeze", largest, axes)


def where(site: Site) -> Translated:
    """Choose from two maps by a constant."""
    condition = site.graph.constant(site.same("condition"))
    return site.graph.op("Where", condition, *site.tensors(), dtype=site.call.inputs[0].dtype)


def argmax(site: Site) -> Translated:
    """Return where along an axis the maximum is."""
    axis = site.same("axis")
    if axis is None:
        raise ExportError("F.argmax over all axes has no ONNX operator")
    return site.graph.op("ArgMax", site.tensor(), dtype=np.int64, axis=axis, keepdims=0).cast(np.int32)


def einsum(site: Site) -> Translated:
    """Sum products over named axes."""
    equation = f"{site.same('in_subs')}->{site.same('out_sub')}".replace("@", "...")
    return site.graph.op("Einsum", *site.tensors(), equation=equation)


def identity(site: Site) -> Translated:
    """Return what goes in."""
    return site.tensors()


def square(site: Site) -> Translated:
    """Multiply with itself."""
    x = site.tensor()
    return x * x


TRANSLATORS = {
    ReLU: _unary("Relu"),
    ClippedReLU: clipped_relu,
    LeakyReLU: _unary("LeakyRelu", alpha="slope"),
    ELU: _unary("Elu", alpha="alpha"),
    Sigmoid: _unary("Sigmoid"),
    Tanh: _unary("Tanh"),
    HardSigmoid: hard_sigmoid,
    Softplus: softplus,
    NormalCDF: normal_cdf,
    Softmax: _softmax("Softmax"),
    LogSoftmax: _softmax("LogSoftmax"),
    Exp: _unary("Exp"),
    PReLUFunction: prelu,
    CReLU: crelu,
    LinearInterpolate: linear_interpolate,
    LSTM: lstm,
    Where: where,
    ArgMax: argmax,
    EinSum: einsum,
    Sin: _unary("Sin"),
    Cos: _unary("Cos"),
    Arctan: _unary("Atan"),
    Erf: _unary("Erf"),
    Log: _unary("Log"),
    Sqrt: _unary("Sqrt"),
    Square: square,
    Identity: identity,
    Clip: clip,
    MatMul: matmul,
    Maximum: _binary("Max"),
    Minimum: _binary("Min"),
    Mean: _reduction("ReduceMean"),
    Sum: _reduction("ReduceSum", axes_are_input=True),
    Max: _reduction("ReduceMax"),
    Min: _reduction("ReduceMin"),
    Prod: _reduction("ReduceProd"),
    LogSumExp: logsumexp,
    basic_math.Neg: _unary("Neg"),
    basic_math.Absolute: _unary("Abs"),
    basic_math.Add: _binary("Add"),
    basic_math.MultiAdd: _binary("Add"),
    basic_math.Sub: _binary("Sub"),
    basic_math.Mul: _binary("Mul"),
    basic_math.Div: _binary("Div"),
    basic_math.AddConstant: _with_constant("Add"),
    basic_math.SubFromConstant: _with_constant("Sub", swapped=True),
    basic_math.MulConstant: mul_constant,
    basic_math.DivFromConstant: _with_constant("Div", swapped=True),
    basic_math.PowVarConst: _with_constant("Pow"),
    basic_math.PowConstVar: _with_constant("Pow", swapped=True),
    basic_math.PowVarVar: _binary("Pow"),
}
