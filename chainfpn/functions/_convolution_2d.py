"""Two-dimensional convolution that is fast on the CPU, and on a GPU whose CuPy has no cuDNN."""

from typing import Any

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda, intel64
from chainer.functions.connection import convolution_2d as chainers
from chainer.functions.math.sum import Sum

from chainfpn._typing import Array, Size, Variable
from chainfpn.functions._arguments import check_geometry
from chainfpn.functions._fixed_normalization import (
    Statistics,
    affine_terms,
    differentiate_affine,
    differentiate_arrays,
    finish_on_gpu,
    fold_on_gpu,
)
from chainfpn.functions._linear_map import AccumulatingNode, GradientNode
from chainfpn.functions.kernels import compute_dtype
from chainfpn.functions.kernels import convolution as kernels
from chainfpn.functions.kernels.epilogue import epilogue_of, nothing, shifted

#: The three arrays of a convolution, which makes y of x and W. A gradient goes by the name of its array.
NAMES = ("x", "W", "y")


class Convolution2DFunction(AccumulatingNode, chainers.Convolution2DFunction):
    """See :func:`convolution_2d`. The name and the attributes are Chainer's: its exporters know them."""

    n_new = 3

    def __init__(self, geometry: kernels.Geometry) -> None:
        super().__init__(geometry.stride, geometry.pad, dilate=geometry.dilate, groups=geometry.groups)
        self.geometry = geometry

    def forward_cpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Convolve, and add the bias block by block."""
        self.retain_inputs((0, 1))
        x, W, *b = inputs
        return (kernels.forward(x, W, self.geometry, shifted(len(W), compute_dtype(x.dtype), *b) if b else None),)

    def forward_gpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Convolve, and add the bias in place."""
        self.retain_inputs((0, 1))
        y = _kernels_for(inputs[0]).forward(*inputs[:2], self.geometry)
        finish_on_gpu(y, *inputs[2:])
        return (y,)

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
    which the gradients of x and W are those of a plain convolution. See :func:`fused_convolution_2d`, which checks.
    """

    def __init__(self, geometry: kernels.Geometry, statistics: Statistics | None, has_bias: bool, relu: bool) -> None:
        super().__init__()
        self.geometry, self.statistics, self.has_bias, self.relu = geometry, statistics, has_bias, relu
        self.n_new = 2 + has_bias

    def forward_cpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Convolve by the rules of a training."""
        x, W, b, residual = self._take(inputs)
        affine = None if self.statistics is None else affine_terms(self.statistics)  # (O,) each
        self._scale = None if affine is None else affine[1]
        after = epilogue_of(len(W), compute_dtype(x.dtype), b, affine, residual, self.relu)
        return (kernels.forward(x, W, self.geometry, after),)

    def forward_gpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Convolve, and do the rest by one kernel."""
        x, W, b, residual = self._take(inputs)
        y = _kernels_for(x).forward(x, W, self.geometry)
        self._scale = finish_on_gpu(y, b, residual, self.statistics, relu=self.relu, with_scale=True)
        return (y,)

    def _take(self, inputs):
        x, W, *others = inputs
        self.retain_inputs((0, 1))
        self.retain_outputs((0,) if self.relu else ())
        return x, W, others.pop(0) if self.has_bias else None, others[0] if others else None

    def backward(self, indexes: tuple[int, ...], grad_outputs: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Return the gradients of the inputs ``indexes``."""
        (gy,) = grad_outputs
        y, residual = self.get_retained_outputs()[0].array if self.relu else None, self.n_new
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
        y, residual = self.get_retained_outputs()[0].array if self.relu else None, self.n_new
        g, *gresidual = differentiate_arrays(gy, y, self._scale, with_residual=residual in indexes)
        x, W = (v.array for v in self.get_retained_inputs())
        gradients = kernels.gradients([i for i in indexes if i < residual], x, W, g, self.geometry, before)
        return gradients + gresidual[:1] * (residual in indexes)


def _is_ours(arrays):
    """Return whether Chainer's convolution is the slower one for these arrays."""
    if all(isinstance(a, np.ndarray) for a in arrays):
        return not intel64.should_use_ideep(">=auto")
    return all(isinstance(a, cuda.ndarray) for a in arrays) and not chainer.should_use_cudnn(">=auto")


def convolution_2d(
    x: Variable,
    W: Variable,
    b: Variable | None = None,
    stride: int | Size = 1,
    pad: int | Size = 0,
    *,
    dilate: int | Size = 1,
    groups: int = 1,
) -> Variable:
    """Convolve as ``chainer.functions.convolution_2d`` does, faster on NumPy arrays, and on CuPy's without cuDNN.

    CuPy 14 has no cuDNN: the graph API of cuDNN 9 computes there, where the library is found, else matrix products.
    Arrays of a CuPy that has it, ChainerX's, and NumPy's where iDeep is switched on go to Chainer's function.

    Args:
        x (Variable or array): float16/32/64, (B, C, H, W). float16 is computed in float32.
        W (Variable or array): float16/32/64, (O, C / groups, kh, kw).
        b (Variable, array or None): dtype of x, (O,).
        stride, pad, dilate (int or pair of ints): For rows and columns.
        groups (int): Number of independent groups of channels.

    Returns:
        Variable: dtype of x, (B, O, outh, outw) with outh = (H + 2 pad - dilate (kh - 1) - 1) // stride + 1.

    Raises:
        chainer.utils.type_check.InvalidType: if the shapes or dtypes do not fit.
        ValueError: if stride or dilate is not positive, pad is negative, the kernel does not fit into the image, or
            groups does not divide O.

    Example:
        >>> import numpy as np
        >>> from chainfpn.functions import convolution_2d
        >>> convolution_2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3)), pad=1).array[0, 0]
        array([[4., 6., 4.],
               [6., 9., 6.],
               [4., 6., 4.]])
    """
    inputs = (x, W) if b is None else (x, W, b)
    arrays = [a.array if isinstance(a, chainer.Variable) else a for a in inputs]
    geometry = check_geometry(W, stride, pad, dilate, groups)
    if not _is_ours(arrays):
        return F.convolution_2d(x, W, b, stride, pad, dilate=dilate, groups=groups)
    (y,) = Convolution2DFunction(geometry).apply(inputs)
    return y


def fused_convolution_2d(
    x: Variable, link: Any, statistics: Statistics | None, residual: Variable | None, *, relu: bool
) -> Variable | None:
    """Convolve, normalize by fixed statistics, add and rectify, where that is one way to compute it.

    On a CPU block by block, on a GPU by a kernel behind the convolution; without a function node where nothing has a
    gradient, by one node in training.

    Args:
        x (Variable): float, (B, C, H, W).
        link (chainer.links.Convolution2D): Its parameters and geometry.
        statistics (Statistics or None): Of a normalization.
        residual (Variable or None): dtype of x, (B, O, outh, outw), added.
        relu (bool): Whether to rectify.

    Returns:
        Variable or None: dtype of x, (B, O, outh, outw); None where hooks, or gradients outside of a training, want
        each step by itself, Chainer computes the convolution, or shapes do not fit, of which the step will tell that
        they do not fit.
    """
    inputs = [a for a in (x, link.W, link.b, residual) if a is not None]
    arrays = [a.array if isinstance(a, chainer.Variable) else a for a in inputs]
    on_cpu = isinstance(arrays[0], np.ndarray)
    learns = chainer.config.enable_backprop and any(getattr(a, "requires_grad", False) for a in inputs)
    goes_step_by_step = chainer.config.enable_backprop and not chainer.config.train and (on_cpu or learns)
    if goes_step_by_step or chainer.get_function_hooks() or not _is_ours(arrays):
        return None
    W, dtype = link.W.array, compute_dtype(arrays[0].dtype)
    if len({a.dtype for a in arrays}) > 1 or arrays[0].ndim != 4 or arrays[0].shape[1] != W.shape[1] * link.groups:
        return None
    geometry = check_geometry(W, link.stride, link.pad, link.dilate, link.groups)
    shape = len(arrays[0]), len(W), *geometry.outsize(arrays[0].shape, W.shape[2:])
    if (residual is not None and residual.shape != shape) or (statistics and len(statistics.gamma) != len(W)):
        return None
    is_plain = statistics is None and residual is None and not relu
    if learns:
        node = FusedConvolution(geometry, statistics, link.b is not None, relu)
        return None if is_plain else node.apply(inputs)[0]
    if not on_cpu:
        return _fused_on_gpu(arrays, link, geometry, statistics, relu)
    b, added = None if link.b is None else link.b.array, None if residual is None else arrays[-1]
    affine = None if statistics is None else affine_terms(statistics)
    epilogue = nothing(dtype) if is_plain and b is None else epilogue_of(len(W), dtype, b, affine, added, relu)
    y = kernels.forward(arrays[0], W, geometry, epilogue, by_rule=chainer.config.train)
    return chainer.Variable(y, requires_grad=False)


def _fused_on_gpu(arrays, link, geometry, statistics, relu):
    x, W, *others = arrays
    b = None if link.b is None else others.pop(0)
    residual = others[0] if others else None

    def separately():
        y = _kernels_for(x).forward(x, W, geometry)
        finish_on_gpu(y, b, residual, statistics, relu=relu)
        return y

    def fused():
        weights = (W, b) if statistics is None else fold_on_gpu(W, b, statistics)
        return gpu_epilogue.Convolution(x, *weights, residual, relu, geometry).run()

    with cuda.get_device_from_array(x):
        if not x.size or not W.size or (b is None and statistics is None):  # cuDNN fuses nothing without a bias
            y = separately()
        else:
            from chainfpn.functions.kernels import gpu_epilogue

            kind = W.shape, geometry, relu, b is None, residual is None, statistics is None
            y = gpu_epilogue.convolve(arrays, kind, fused, separately)
    return chainer.Variable(y, requires_grad=False)
