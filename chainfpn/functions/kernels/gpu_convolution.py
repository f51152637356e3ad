"""Two-dimensional convolution and its two gradients on CuPy arrays, where CuPy has no cuDNN.

cuDNN's graph API computes what it can. The rest is matrix products of images as they lie in memory, so that every
result is C-contiguous and a 1x1 convolution lays out no columns; they run on NumPy arrays as well.
"""

import functools
import math
import os
import warnings
from collections.abc import Callable

import chainer
import numpy as np
from chainer.backends import cuda
from chainer.utils import conv

from chainfpn._typing import Array
from chainfpn.functions.kernels import cublas, cudnn_backend, cudnn_graph
from chainfpn.functions.kernels.convolution import Geometry

#: Bytes of columns laid out at a time, unless one image needs more.
COLUMN_BYTES = 256 << 20
#: Images at most whose 1x1 gradients are products one after the other.
MAX_PIXELWISE_IMAGES = 8
#: Bytes that cuDNN may ask for where memory is short.
LITTLE_BYTES = 16 << 20
#: Plans kept: one for each shape, dtype and kind.
MAX_PLANS = 4096
#: Convolutions that cuDNN failed at.
_failed: set[tuple] = set()


def forward(x: Array, W: Array, geometry: Geometry) -> Array:
    """Convolve (B, C, H, W) with (O, C / groups, kh, kw) to (B, O, outh, outw), of the dtype of x."""
    shape = (len(x), len(W), *geometry.outsize(x.shape, W.shape[2:]))
    y = _by_cudnn("y", W, x, None, shape, x.dtype, geometry)
    if y is not None:
        return y
    weights = _weights(W, geometry.groups)
    blocks = _blocks(x.shape, W.shape, shape, x.itemsize)
    parts = [_product(weights, _columns(x[images], W.shape[2:], geometry)) for images in blocks]
    return _join(parts).reshape(shape).astype(x.dtype, copy=False)


def input_gradient(gy: Array, W: Array, x_shape: tuple, geometry: Geometry) -> Array:
    """Run the transpose of ``forward`` in x: gradients (B, O, outh, outw) to ``x_shape``."""
    if _multiplies(gy, W, W.shape, geometry):
        return _pixelwise_input_gradient(gy, W, x_shape, geometry)
    gx = _by_cudnn("x", W, None, gy, x_shape, gy.dtype, geometry)
    if gx is not None:
        return gx
    weights = _weights(W, geometry.groups).swapaxes(-1, -2)
    gradients = _by_group(cuda.get_array_module(gy).ascontiguousarray(gy), geometry.groups)
    parts = []
    for images in _blocks(x_shape, W.shape, gy.shape, gy.itemsize):
        columns = _product(weights, gradients[images])  # (B, groups, C / groups * kh * kw, outh * outw)
        columns = columns.reshape(len(columns), x_shape[1], *W.shape[2:], *gy.shape[2:])
        parts.append(_add_up(columns, x_shape[2:], geometry))
    return _join(parts).astype(gy.dtype, copy=False)


def weight_gradient(x: Array, gy: Array, W_shape: tuple, W_dtype: np.dtype, geometry: Geometry) -> Array:
    """Run the transpose of ``forward`` in W: gradients (B, O, outh, outw) to ``W_shape``."""
    if W_dtype == gy.dtype and _multiplies(gy, x, W_shape, geometry):
        return _pixelwise_weight_gradient(x, gy, W_shape, geometry)
    gW = _by_cudnn("W", None, x, gy, W_shape, W_dtype, geometry)
    if gW is not None:
        return gW
    gradients = _by_group(cuda.get_array_module(gy).ascontiguousarray(gy), geometry.groups)
    for images in _blocks(x.shape, W_shape, gy.shape, x.itemsize):
        columns = _columns(x[images], W_shape[2:], geometry)
        parts = _product(gradients[images], columns.swapaxes(-1, -2))  # a part of each image
        part = parts[0] if len(parts) == 1 else parts.sum(axis=0)
        gW = part if gW is None else gW + part
    return gW.reshape(W_shape).astype(W_dtype, copy=False)


@functools.cache
def cudnn_problem() -> str:
    """Return why cuDNN's graph API does not compute here, or nothing if it does."""
    try:
        cudnn_backend.library()
        cuda.cupy.cuda.get_cublas_handle()  # loads cuBLAS, which cuDNN needs
        shapes = ((1, 1, 3, 3), (1, 1, 4, 4), (1, 1, 4, 4))
        geometry = Geometry((1, 1), (1, 1), (1, 1), 1)
        _plan("y", shapes, "f", geometry, cuda.cupy.cuda.Device().id, cudnn_graph.ALIGNMENT, *[False] * 4)
    except RuntimeError as error:  # cuDNN's and CuPy's
        return str(error)
    return ""


def uses_cudnn() -> bool:
    """Return whether convolutions are cuDNN's where it can: if it is there, and Chainer's ``use_cudnn`` allows it."""
    return chainer.config.use_cudnn != "never" and not cudnn_problem()


def _by_cudnn(name, W, x, y, shape, dtype, geometry):
    """Return the array ``name`` of the convolution, which is None, from the two others; None where cuDNN cannot."""
    given = [a for a in (W, x, y) if a is not None]
    dtypes = {np.dtype(dtype).char, *[a.dtype.char for a in given]}
    empty = 0 in shape or not all(a.size for a in given)
    if isinstance(given[0], np.ndarray) or empty or len(dtypes) > 1 or not dtypes <= cudnn_graph.DTYPES.keys():
        return None
    if not uses_cudnn():
        return None
    xp = cuda.cupy
    result = xp.empty(shape, dtype)
    arrays = [result if a is None else xp.ascontiguousarray(a) for a in (W, x, y)]
    pointers = tuple([a.data.ptr for a in arrays])
    shapes = tuple([a.shape for a in arrays])
    key = plan_key(name, shapes, result, geometry, pointers)
    if _failed and key in _failed:
        return None
    try:
        run_plan(key, pointers)
    except cudnn_backend.CudnnError as error:
        if cudnn_backend.is_strict():
            raise
        _failed.add(key)
        warnings.warn(f"convolution_2d: matrix products replace cuDNN for {key}: {error}", RuntimeWarning, stacklevel=2)
        return None
    return result


def plan_key(name: str, shapes: tuple, result: Array, geometry: Geometry, pointers: tuple, relu: bool = False) -> tuple:
    """Return what a plan of cuDNN depends on: see :func:`cudnn_graph.plans`, and Chainer's configuration."""
    alignment, config = math.gcd(cudnn_graph.ALIGNMENT, *pointers), chainer.config
    rules = may_round(), bool(config.cudnn_deterministic), bool(config.autotune), relu
    return name, shapes, result.dtype.char, geometry, result.data.device_id, alignment, *rules


def run_plan(key: tuple, pointers: tuple[int, ...]) -> None:
    """Run the plan of a key on arrays at these addresses, on the current stream; raise CudnnError if there is none."""
    plan, workspace = _plan_with_memory(key)
    device = key[4]
    plan.run(_handle(device), pointers, workspace.ptr)  # the pool gives it to nobody before the stream is past it


def _plan_with_memory(key):
    """Return a plan and the memory it wants; where there is little, a plan that wants little."""
    plan = _plan(*key)
    try:
        return plan, cuda.cupy.cuda.alloc(plan.workspace)
    except MemoryError:
        plan = _plan(*key, most=LITTLE_BYTES)
        return plan, cuda.cupy.cuda.alloc(plan.workspace)


@functools.lru_cache(MAX_PLANS)
def _plan(
    name,
    shapes,
    dtype,
    geometry,
    device,
    alignment,
    tf32,
    deterministic,
    autotune,
    relu,
    most=cudnn_graph.WORKSPACE_BYTES,
):
    rules = {"alignment": alignment, "tf32": tf32, "deterministic": deterministic, "relu": relu, "most": most}
    plans = cudnn_graph.plans(name, shapes, dtype, geometry, _handle(device), **rules)
    return _fastest(plans, shapes, dtype, device) if autotune else next(plans)


def _fastest(plans, shapes, dtype, device):
    """Run each plan, and return the one that takes the least time."""
    arrays = [cuda.cupy.zeros(shape, dtype) for shape in shapes]

    def duration(plan):
        try:
            workspace = cuda.cupy.cuda.alloc(plan.workspace)
            arguments = _handle(device), tuple(a.data.ptr for a in arrays), workspace.ptr
            plan.run(*arguments)  # the first time loads the kernel
            return milliseconds(lambda: plan.run(*arguments))
        except (cudnn_backend.CudnnError, MemoryError):
            return math.inf

    return min(plans, key=duration)


def milliseconds(run: Callable[[], object]) -> float:
    """Return what the device takes to run something twice."""
    begin, end = cuda.cupy.cuda.Event(), cuda.cupy.cuda.Event()
    begin.record()
    run()
    run()
    end.record()
    end.synchronize()
    return cuda.cupy.cuda.get_elapsed_time(begin, end)


def _handle(device):
    return cudnn_backend.handle(device, cuda.cupy.cuda.get_current_stream().ptr)


def _is_pixelwise(ksize, geometry):
    """Return whether each output pixel is made of one input pixel."""
    return tuple(ksize) == (1, 1) and geometry.pad == (0, 0)


def _multiplies(gy, other, W_shape, geometry):
    """Return whether cuBLAS alone makes a gradient, up to five times as fast as cuDNN: 1x1, few images, all float32."""
    return (
        _is_pixelwise(W_shape[2:], geometry)
        and geometry.groups == 1
        and 0 < len(gy) <= MAX_PIXELWISE_IMAGES
        and gy.dtype.char == other.dtype.char == "f"
        and gy.size > 0 < other.size
        and not isinstance(gy, np.ndarray)
        and not may_round()
    )


def _pixelwise_input_gradient(gy, W, x_shape, geometry):
    xp = cuda.cupy
    gy, W = xp.ascontiguousarray(gy), xp.ascontiguousarray(W)
    columns = xp.empty((*x_shape[:2], 1, 1, *gy.shape[2:]), gy.dtype)
    sizes = x_shape[1], math.prod(gy.shape[2:]), len(W)
    for image, out in zip(gy, columns, strict=True):
        cublas.multiply(W, image, out, sizes, (True, False))
    return _add_up(columns, x_shape[2:], geometry)


def _pixelwise_weight_gradient(x, gy, W_shape, geometry):
    xp = cuda.cupy
    gy, columns = xp.ascontiguousarray(gy), _columns(x, (1, 1), geometry)
    gW = xp.empty(W_shape, gy.dtype)
    sizes = *W_shape[:2], columns.shape[-1]
    for i, (image, column) in enumerate(zip(gy, columns, strict=True)):
        cublas.multiply(image, column, gW, sizes, (False, True), add=i > 0)
    return gW


def may_round() -> bool:
    """Return whether float32 may be rounded to TF32."""
    return os.environ.get("CUPY_TF32") == "1"


def _columns(x, ksize, geometry):
    """Lay out the windows: (B, groups, C / groups * kh * kw, outh * outw), the images themselves where they will do."""
    sy, sx = geometry.stride
    if _is_pixelwise(ksize, geometry):
        columns = cuda.get_array_module(x).ascontiguousarray(x[:, :, ::sy, ::sx])
    else:
        dy, dx = geometry.dilate
        columns = conv.im2col(x, *ksize, sy, sx, *geometry.pad, dy=dy, dx=dx)
    return _by_group(columns, geometry.groups)


def _add_up(columns, size, geometry):
    """Add the gradients of windows, (B, C, kh, kw, outh, outw), to the pixels under them: (B, C, H, W)."""
    (sy, sx), (dy, dx), ksize = geometry.stride, geometry.dilate, columns.shape[2:4]
    if not _is_pixelwise(ksize, geometry):
        return conv.col2im(columns, sy, sx, *geometry.pad, *size, dy=dy, dx=dx)
    if geometry.stride == (1, 1):
        return columns[:, :, 0, 0]
    gx = cuda.get_array_module(columns).zeros((*columns.shape[:2], *size), columns.dtype)
    gx[:, :, ::sy, ::sx] = columns[:, :, 0, 0]
    return gx


def _product(a, b):
    """Multiply stacks of matrices; one pair of them, which is what one image makes, without the stack."""
    if a.shape[:-2] in ((1,), (1, 1)) and b.shape[:-2] in ((1,), (1, 1)):
        return a[(0,) * (a.ndim - 2)].dot(b[(0,) * (b.ndim - 2)])[None, None]
    return cuda.get_array_module(a).matmul(a, b)


def _blocks(x_shape, W_shape, y_shape, itemsize):
    """Cut the batch so that the columns of a block are not too many."""
    image = x_shape[1] * math.prod(W_shape[2:]) * math.prod(y_shape[2:]) * itemsize
    step = max(1, COLUMN_BYTES // max(1, image))
    return [slice(begin, begin + step) for begin in range(0, max(1, x_shape[0]), step)]


def _join(parts):
    return parts[0] if len(parts) == 1 else cuda.get_array_module(*parts).concatenate(parts)


def _by_group(a, groups):
    """Merge the channels of a group with their taps, and rows with columns: (B, groups, C / groups * taps, pixels)."""
    return a.reshape(len(a), groups, math.prod(a.shape[1:-2]) // groups, math.prod(a.shape[-2:]))


def _weights(W, groups):
    return W.reshape(groups, len(W) // groups, math.prod(W.shape[1:]))
