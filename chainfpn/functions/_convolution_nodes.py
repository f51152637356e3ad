"""The function nodes of two-dimensional convolutions, and of their gradients."""

import numpy as np
from chainer.backends import cuda
from chainer.functions.connection import convolution_2d as chainers
from chainer.functions.math.sum import Sum

from chainfpn._typing import Array, Variable
from chainfpn.functions._fixed_normalization import (
    Statistics,
    affine_terms,
    differentiate_affine,
    differentiate_arrays,
    normalize_on_gpu,
)
from chainfpn.functions._linear_map import AccumulatingNode, GradientNode
from chainfpn.functions.kernels import compute_dtype, for_compiled
from chainfpn.functions.kernels import convolution as kernels
from chainfpn.functions.kernels.epilogue import Epilogue, shifted

#: The three arrays of a convolution, which makes y of x and W. A gradient goes by the name of its array.
NAMES = ("x", "W", "y")


class Convolution2DFunction(AccumulatingNode, chainers.Convolution2DFunction):
    """See ``convolution_2d``. The name and the attributes are Chainer's: its exporters know them."""

    n_new = 3

    def __init__(self, geometry: kernels.Geometry) -> None:
        super().__init__(geometry.stride, geometry.pad, dilate=geometry.dilate, groups=geometry.groups)
        self.geometry = geometry

    def forward_cpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Convolve, and add the bias block by block."""
        self.retain_inputs((0, 1))
        x, W, *b = inputs
        after = shifted(len(W), compute_dtype(x.dtype), *b) if b else None
        return (kernels.forward(x, W, self.geometry, after),)

    def forward_gpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Convolve, and add the bias in place."""
        self.retain_inputs((0, 1))
        x, W, *b = inputs
        return (convolve_on_gpu(x, W, b[0] if b else None, None, self.geometry, None, False),)

    def backward(self, indexes: tuple[int, ...], grad_outputs: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Return the gradients of the inputs ``indexes``."""
        (gy,) = grad_outputs
        gradients = _differentiate(self, "y", gy, [i for i in indexes if i < 2])
        return (*gradients, *_BiasGradient(axis=(0, 2, 3)).apply((gy,))) if 2 in indexes else gradients

    def differentiate(self, indexes: tuple[int, ...], gy: Array, before: Array | None) -> list[Array]:
        """Return the gradients of the inputs ``indexes``, computed together."""
        x, W = (v.array for v in self.get_retained_inputs())
        return kernels.gradients(indexes, x, W, gy, self.geometry, before)


class _BiasGradient(GradientNode, Sum):
    """The sum over images and pixels."""


class ConvolutionGradient(GradientNode):
    """Gradient of the convolution in x, from those of y and W, or in W, from x and that of y; linear in both.

    Args:
        geometry (Geometry): Stride, padding, dilation, groups.
        name (str): ``"x"`` or ``"W"``.
        like (Variable): The array it is the gradient of.
    """

    def __init__(self, geometry: kernels.Geometry, name: str, like: Variable) -> None:
        super().__init__()
        self.geometry, self.name, self.shape, self.dtype = geometry, name, like.shape, like.dtype

    def forward_cpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Run the transpose of the convolution."""
        self.retain_inputs((0, 1))
        a, gy = inputs
        if self.name == "x":
            return (_kernels_for(gy).input_gradient(gy, a, self.shape, self.geometry),)
        return (_kernels_for(gy).weight_gradient(a, gy, self.shape, self.dtype, self.geometry),)

    forward_gpu = forward_cpu

    def backward(self, indexes: tuple[int, ...], grad_outputs: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Differentiate once more."""
        return _differentiate(self, self.name, grad_outputs[0], indexes)


def _kernels_for(x):
    if isinstance(x, np.ndarray):
        return kernels
    from chainfpn.functions.kernels import gpu_convolution

    return gpu_convolution


def _differentiate(node, name, gradient, indexes):
    """Compute the gradients of a node's inputs from that of its output ``name``.

    The sum of y * (x convolved with W) is linear in each of the three arrays, so the gradient in one comes from the
    other two, whichever of them are gradients themselves.
    """
    names = [n for n in NAMES if n != name]
    inputs = dict(zip(names, node.get_retained_inputs(), strict=True))
    values = {**inputs, name: gradient}
    g, gradients = node.geometry, []
    for wanted in (names[i] for i in indexes):
        is_forward = wanted == "y"
        derivative = Convolution2DFunction(g) if is_forward else ConvolutionGradient(g, wanted, inputs[wanted])
        gradients += derivative.apply([values[n] for n in NAMES if n != wanted])
    return tuple(gradients)


class FusedConvolution(AccumulatingNode):
    """relu(normalize(x * W + b) + residual) in training; b and the residual may be missing.

    Only x, W and y are kept. What the ReLU lets through of the gradient, times the scale, is made in one pass, from
    which the gradients of x and W are those of a plain convolution. See ``fused_convolution_2d``, which checks.
    """

    def __init__(self, geometry: kernels.Geometry, statistics: Statistics | None, has_bias: bool, relu: bool) -> None:
        super().__init__()
        self.geometry, self.statistics, self.has_bias, self.relu = geometry, statistics, has_bias, relu
        self.n_new = 2 + has_bias

    def forward_cpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Convolve by the rules of a training."""
        x, W, *others = inputs
        self.retain_inputs((0, 1))
        self.retain_outputs((0,) if self.relu else ())
        b, residual = others.pop(0) if self.has_bias else None, others[0] if others else None
        self._scale = None if self.statistics is None else affine_terms(self.statistics)[1]  # (O,)
        after = epilogue_of(len(W), compute_dtype(x.dtype), b, self.statistics, residual, self.relu)
        return (kernels.forward(x, W, self.geometry, after),)

    def forward_gpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Convolve, and do the rest by one kernel."""
        x, W, *others = inputs
        self.retain_inputs((0, 1))
        self.retain_outputs((0,) if self.relu else ())
        b, residual = others.pop(0) if self.has_bias else None, others[0] if others else None
        fixed = self.statistics
        self._scale = None if fixed is None else cuda.cupy.empty(len(W), fixed.gamma.dtype)  # (O,)
        return (convolve_on_gpu(x, W, b, residual, self.geometry, fixed, self.relu, self._scale),)

    def backward(self, indexes: tuple[int, ...], grad_outputs: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Return the gradients of the inputs ``indexes``."""
        (gy,) = grad_outputs
        y, residual = self.get_retained_outputs()[0].array if self.relu else None, 2 + self.has_bias
        g, *gresidual = differentiate_affine(gy, y, self._scale, with_residual=residual in indexes)
        gradients = {
            0: lambda: _differentiate(self, "y", g, [0]),
            1: lambda: _differentiate(self, "y", g, [1]),
            2: lambda: _BiasGradient(axis=(0, 2, 3)).apply((g,)),
            residual: lambda: gresidual,
        }
        return tuple(gradients[i]()[0] for i in indexes)

    def differentiate(self, indexes: tuple[int, ...], gy: Array, before: Array | None) -> list[Array]:
        """Return the gradients of the inputs ``indexes``, computed together."""
        y, residual = self.get_retained_outputs()[0].array if self.relu else None, 2 + self.has_bias
        g, *gresidual = differentiate_arrays(gy, y, self._scale, with_residual=residual in indexes)
        x, W = (v.array for v in self.get_retained_inputs())
        gradients = kernels.gradients([i for i in indexes if i < residual], x, W, g, self.geometry, before)
        return gradients + gresidual[:1] * (residual in indexes)


def convolve_on_gpu(x, W, b, residual, geometry, statistics, relu, scale=None):
    """Convolve; normalize or add the bias, add and rectify by one kernel, by two if there are both."""
    y = _kernels_for(x).forward(x, W, geometry)
    if statistics is not None:
        if b is not None:
            normalize_on_gpu(y, shift=b, relu=False, out=y)
        normalize_on_gpu(y, residual, statistics=statistics, relu=relu, out=y, scale=scale)
    elif b is not None or residual is not None or relu:
        normalize_on_gpu(y, residual, shift=b, relu=relu, out=y)
    return y


def epilogue_of(n_channels, dtype, b, statistics, residual, relu):
    terms = shifted(n_channels, dtype, b)[:3]
    if statistics is not None:
        centre, scale, shift = (a.astype(dtype, copy=False) for a in affine_terms(statistics))
        terms = centre - terms[2], scale, shift
    return Epilogue(*terms, None if residual is None else for_compiled(residual, dtype), relu)
