"""Two-dimensional convolution that is fast on the CPU, and on a GPU whose CuPy has no cuDNN."""

from typing import Any

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda, intel64

from chainfpn._typing import Size, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._arguments import check_outsize
from chainfpn.functions._convolution_nodes import Convolution2DFunction, FusedConvolution, convolve_on_gpu, epilogue_of
from chainfpn.functions._fixed_normalization import Statistics, fold_on_gpu
from chainfpn.functions.kernels import compute_dtype
from chainfpn.functions.kernels import convolution as kernels
from chainfpn.functions.kernels.epilogue import nothing


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
    geometry = _check_geometry(W, stride, pad, dilate, groups)
    if not _is_ours(arrays):
        return F.convolution_2d(x, W, b, stride, pad, dilate=dilate, groups=groups)
    (y,) = Convolution2DFunction(geometry).apply(inputs)
    return y


def _check_geometry(W, stride, pad, dilate, groups):
    if groups < 1 or len(W) % groups:
        raise InvalidArgument("convolution_2d", "groups", f"> 0 and divide W's {len(W)} output channels", groups)
    stride = check_outsize("convolution_2d", stride, "stride")
    pad = check_outsize("convolution_2d", pad, "pad", least=0)
    return kernels.Geometry(stride, pad, check_outsize("convolution_2d", dilate, "dilate"), groups)


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
    geometry = _check_geometry(W, link.stride, link.pad, link.dilate, link.groups)
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
    epilogue = nothing(dtype) if is_plain and b is None else epilogue_of(len(W), dtype, b, statistics, added, relu)
    y = kernels.forward(arrays[0], W, geometry, epilogue, by_rule=chainer.config.train)
    return chainer.Variable(y, requires_grad=False)


def _fused_on_gpu(arrays, link, geometry, statistics, relu):
    x, W, *others = arrays
    b = None if link.b is None else others.pop(0)
    residual = others[0] if others else None

    def separately():
        return convolve_on_gpu(x, W, b, residual, geometry, statistics, relu)

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
