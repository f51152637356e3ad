"""Normalization by fixed statistics: with the sum and the ReLU behind it, one kernel."""

import math
from typing import NamedTuple

import chainer
import chainer.functions as F
import numpy as np
from chainer import backend
from chainer.backends import cuda, intel64
from chainer.utils import type_check

from chainfpn._typing import Array, Variable
from chainfpn.functions._linear_map import LinearMap
from chainfpn.functions._resize import OPTIONS, REALS
from chainfpn.functions.kernels import compute_dtype, for_compiled, import_compiled
from chainfpn.functions.kernels.cuda_launch import NO_ARRAY, constant, index, launch_each


class Statistics(NamedTuple):
    """What a channel is normalized by: arrays, (C,), of one dtype.

    y = (x - mean) * scale + beta if ``centered``, else x * scale + (beta - mean * scale), which is as much but for the
    rounding; scale = gamma / sqrt(var + eps). They are read at every call, so that a change in place counts; the kernel
    of a GPU does so itself, without a launch for them.

    With ``n_together``, on a GPU, so many channels of an image share a mean and a variance, (B * C / n_together,), and
    there is no gradient.
    """

    gamma: Array
    beta: Array
    mean: Array
    var: Array
    eps: float
    centered: bool
    n_together: int = 0


def affine_terms(statistics: Statistics) -> tuple[Array, Array, Array]:
    """Return centre, scale and shift, (C,) each, of y = (x - centre) * scale + shift."""
    gamma, beta, mean, var, eps, centered, _ = statistics
    scale = gamma / np.sqrt(var + var.dtype.type(eps))  # (C,)
    return (mean, scale, beta) if centered else (np.zeros_like(mean), scale, beta - mean * scale)


class FixedNormalization(chainer.FunctionNode):
    """Normalize, add what is given beside, and rectify: one kernel, which Numba compiles for a CPU if it is there.

    Args:
        statistics (Statistics): Constants: no gradient reaches them.
        relu (bool): Whether to rectify.
    """

    def __init__(self, statistics: Statistics, relu: bool) -> None:
        super().__init__()
        self.statistics, self.relu = statistics, relu

    def check_type_forward(self, in_types: type_check.TypeInfoTuple) -> None:
        """Require (B, C, ...) floats, statistics of C channels, and as much to add."""
        x_type = in_types[0]
        n_channels = len(self.statistics.gamma)
        type_check.expect(x_type.dtype.kind == "f", x_type.ndim >= 2, x_type.shape[1] == n_channels)
        if type_check.eval(in_types.size()) > 1:
            type_check.expect(in_types[1].dtype == x_type.dtype, in_types[1].shape == x_type.shape)

    def forward_cpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Compute relu(normalized x + residual), in the dtype of x."""
        x, residual = inputs[0], inputs[1] if len(inputs) > 1 else None
        affine = _, self._scale, _ = affine_terms(self.statistics)
        centre, scale, shift = (for_compiled(a, x.dtype) for a in affine)
        if (compiled := import_compiled("numba_normalize")) and x.dtype != np.float16:
            y = compiled.forward(x, residual, centre, scale, shift, self.relu)
        else:
            over = (slice(None),) + (None,) * (x.ndim - 2)
            y = (x - centre[over]) * scale[over] + shift[over]  # (B, C, ...)
            y = y if residual is None else y + residual  # (B, C, ...)
            y = np.maximum(y, 0) if self.relu else y  # (B, C, ...)
        self.retain_outputs((0,) if self.relu else ())
        return (y,)

    def forward_gpu(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Compute relu(normalized x + residual)."""
        y = backend.get_array_module(inputs[0]).empty(inputs[0].shape, inputs[0].dtype)
        self._scale = normalize_on_gpu(*inputs, statistics=self.statistics, relu=self.relu, out=y, with_scale=True)
        self.retain_outputs((0,) if self.relu else ())
        return (y,)

    def backward(self, indexes: tuple[int, ...], grad_outputs: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Scale what the ReLU lets through."""
        y = self.get_retained_outputs()[0].array if self.relu else None
        gradients = differentiate_affine(grad_outputs[0], y, self._scale, with_residual=len(self.inputs) > 1)
        return tuple(gradients[i] for i in indexes)


def differentiate_affine(
    gy: Variable, y: Array | None, scale: Array | None, *, with_residual: bool
) -> tuple[Variable, ...]:
    """Return the gradients of relu(x * scale + shift + residual); they are linear, so differentiable themselves.

    Args:
        gy (Variable): Of the result, float, (B, C, ...).
        y (array or None): The result if there is a ReLU.
        scale (array or None): (C,); None for 1.
        with_residual (bool): Whether that of the residual is asked for, too.

    Returns:
        tuple of Variable: That of x, and that of the residual if it is asked for; twice gy where nothing changes it.
    """
    if y is None and scale is None:
        return gy, gy
    over = (slice(None),) + (None,) * (gy.ndim - 2)

    def forward(gys):
        if not isinstance(gys[0], np.ndarray):
            return _differentiate_on_gpu(gys[0], y, scale, with_residual)
        return differentiate_arrays(gys[0], y, scale, with_residual=with_residual)

    def transpose(ggs):
        ggy = ggs[0] if scale is None else ggs[0] * scale[over].astype(ggs[0].dtype, copy=False)
        ggy = sum(ggs[1:], ggy)
        return (ggy if y is None else ggy * (y > 0),)

    return LinearMap("gradient of normalization", forward, transpose).apply((gy,))


def differentiate_arrays(gy: Array, y: Array | None, scale: Array | None, *, with_residual: bool) -> tuple[Array, ...]:
    """Return what :func:`differentiate_affine` does for arrays of NumPy."""
    if y is None and scale is None:
        return gy, gy
    factor = None if scale is None else scale.astype(gy.dtype, copy=False)
    if (compiled := import_compiled("numba_normalize")) and gy.dtype != np.float16:
        return compiled.backward(gy, y, factor, with_residual)
    through = gy if y is None else gy * (y > 0)
    gx = through if factor is None else through * factor[(slice(None),) + (None,) * (gy.ndim - 2)]
    return (gx, through) if with_residual else (gx,)


def _differentiate_on_gpu(gy, y, scale, with_residual):
    xp = cuda.cupy
    gx, arrays = xp.empty(gy.shape, gy.dtype), (_contiguous(gy, gy.dtype), _contiguous(y, gy.dtype))
    if scale is None:  # as much for both
        _launch("normalize_backward", gy, *arrays, NO_ARRAY, result=(gx, NO_ARRAY), like=gy)
        return (gx, gx) if with_residual else (gx,)
    gresidual = xp.empty(gy.shape, gy.dtype) if with_residual else NO_ARRAY
    _launch("normalize_backward", gy, *arrays, scale, result=(gx, gresidual), like=scale)
    return (gx, gresidual) if with_residual else (gx,)


def _launch(kernel, x, *arguments, result, like):
    """Launch a kernel of normalize.cu for x, a warp for each stretch of a plane; ``like`` has the statistics' dtype."""
    n_channels, n_pixels = x.shape[1], math.prod(x.shape[2:])
    n_tasks = len(x) * n_channels * -(-n_pixels // (constant("LANES") * constant("PIXELS")))
    sizes = index(n_tasks), index(n_channels), index(n_pixels)
    launch_each(kernel, x, n_tasks * constant("LANES"), *arguments, *sizes, *result, others=(like.dtype,))


def normalize_on_gpu(
    x: Array,
    residual: Array | None = None,
    *,
    statistics: Statistics | None = None,
    shift: Array | None = None,
    relu: bool,
    out: Array,
    with_scale: bool = False,
) -> Array | None:
    """Run :func:`fixed_normalization`, or add a bias, by one kernel.

    Args:
        x (array): On a GPU, (B, C, ...).
        residual (array or None): dtype and shape of x.
        statistics (Statistics or None): On the device of x.
        shift (array or None): Without statistics, (C,), added.
        relu (bool): Whether to rectify the sum.
        out (array): For the result, dtype and shape of x, C-contiguous; x itself will do.
        with_scale (bool): Whether the scale of each channel is wanted, which statistics have.

    Returns:
        array or None: The scale, dtype of the statistics, (C,), if it is wanted.
    """
    gamma, beta, mean, var, eps, centered, n_together = statistics or (None, shift, None, None, 0, False, 0)
    like = x if beta is None else beta
    maps = [_contiguous(a, x.dtype) for a in (x, residual)]
    arrays = [_contiguous(a, like.dtype) for a in (gamma, beta, mean, var)]
    options = np.float64(eps), *map(np.int32, (centered, n_together, relu))
    scale = cuda.cupy.empty(x.shape[1], like.dtype) if with_scale else None
    _launch("normalize", x, *maps, *arrays, *options, result=(out, NO_ARRAY if scale is None else scale), like=like)
    return scale


def finish_on_gpu(
    y: Array,
    b: Array | None = None,
    residual: Array | None = None,
    statistics: Statistics | None = None,
    *,
    relu: bool = False,
    with_scale: bool = False,
) -> Array | None:
    """Finish a convolution in place by one kernel, or two where it has both a bias and a normalization.

    Args:
        y (array): On a GPU, (B, O, outh, outw), C-contiguous.
        b, residual, statistics, relu, with_scale: As in :func:`normalize_on_gpu`.

    Returns:
        array or None: The scale of each channel, (O,), if it is wanted and there are statistics.
    """
    if statistics is None:
        if b is not None or residual is not None or relu:
            normalize_on_gpu(y, residual, shift=b, relu=relu, out=y)
        return None
    if b is not None:
        normalize_on_gpu(y, shift=b, relu=False, out=y)
    return normalize_on_gpu(y, residual, statistics=statistics, relu=relu, out=y, with_scale=with_scale)


def _contiguous(a, dtype):
    return NO_ARRAY if a is None else cuda.cupy.ascontiguousarray(a, dtype)


def fold_on_gpu(W: Array, b: Array | None, statistics: Statistics) -> tuple[Array, Array]:
    """Put a normalization by fixed statistics into the convolution before it, by one kernel.

    Args:
        W (array): On a GPU, (O, C / groups, kh, kw).
        b (array or None): dtype of W, (O,).
        statistics (Statistics): On the device of W.

    Returns:
        tuple of array: W and b, dtype and shape of theirs, of the convolution whose result needs no normalization.
    """
    folded, shift = cuda.cupy.empty(W.shape, W.dtype), cuda.cupy.empty(len(W), W.dtype)
    cuda.elementwise(
        "raw T W, raw T b, raw U gamma, raw U beta, raw U mean, raw U var, float64 eps, bool biased, uint32 n_weights",
        "raw T folded, raw T shift",
        """
        const unsigned int c = (unsigned int)i / n_weights;
        const Real scale = (Real)gamma[c] / sqrt((Real)var[c] + (Real)eps);
        folded[i] = (Real)W[i] * scale;
        if ((unsigned int)i % n_weights == 0)
            shift[c] = (Real)beta[c] + ((biased ? (Real)b[c] : (Real)0) - (Real)mean[c]) * scale;
        """,
        "fold",
        preamble=f"typedef {REALS[compute_dtype(W.dtype)]} Real;",
        options=OPTIONS,
    )(W, W if b is None else b, *statistics[:5], b is not None, W.size // len(W), folded, shift, size=W.size)
    return folded, shift


def fixed_normalization(
    x: Variable, statistics: Statistics, residual: Variable | None = None, *, relu: bool = False
) -> Variable:
    """Normalize each channel by fixed statistics, add and rectify.

    Args:
        x (Variable): float16/32/64, (B, C, ...). A GPU computes float16 in float32.
        statistics (Statistics): On the device of x.
        residual (Variable or None): dtype and shape of x.
        relu (bool): Whether to rectify the sum.

    Returns:
        Variable: dtype and shape of x.
    """
    inputs = (x,) if residual is None else (x, residual)
    return FixedNormalization(statistics, relu).apply(inputs)[0]


def is_one_kernel(x: Variable | Array) -> bool:
    """Return whether :func:`fixed_normalization` knows the kind of array: NumPy's, if iDeep is off, and CuPy's."""
    array = x.array if isinstance(x, chainer.Variable) else x
    return isinstance(array, cuda.ndarray) or (isinstance(array, np.ndarray) and not intel64.should_use_ideep(">=auto"))


def add_relu(h: Variable, residual: Variable | None, relu: bool) -> Variable:
    """Add and rectify what is normalized already, in steps of their own.

    Args:
        h (Variable): (B, C, ...).
        residual (Variable or None): dtype and shape of h.
        relu (bool): Whether to rectify the sum.

    Returns:
        Variable: dtype and shape of h.
    """
    h = h if residual is None else h + residual
    return F.relu(h) if relu else h
