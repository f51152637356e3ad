"""Resizing of maps to any size."""

import numpy as np
from chainer import backend
from chainer.backends import cuda

from chainfpn._typing import Array, Size, Variable
from chainfpn.functions._arguments import check_map, check_outsize
from chainfpn.functions._linear_map import apply_separable, linear_map, separable_map
from chainfpn.functions.kernels import compute_dtype, import_compiled

#: C++ type that a thread computes in, for each dtype of coordinates.
REALS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}

#: Without fused multiply-add the kernels' results are those of the CPU, to the last bit.
OPTIONS = ("--fmad=false",)

#: ``find_sources`` and ``_interpolate`` for a thread of a GPU.
BILINEAR = """
typedef %s Real;
struct Source { int low, high; Real upper; };
__device__ Source find_source(int out, int n_in, Real scale, bool align_corners) {
    Real at = align_corners ? out * scale : (out + (Real)0.5) * scale - (Real)0.5;
    at = at > 0 ? at : 0;
    const int low = (int)at < n_in - 1 ? (int)at : n_in - 1;
    return {low, low + 1 < n_in ? low + 1 : n_in - 1, at - low};
}
__device__ Real interpolate(Real low, Real high, Real upper) { return low * (1 - upper) + high * upper; }
"""

#: The output pixels that copy an input pixel, found as ``_nearest`` finds that.
OUTPUTS = """
typedef %s Real;
struct Outputs { int first, end; };
__device__ int find_first(int in, int n_out, float scale) {
    int out = (int)(in / scale);
    while (out > 0 && (int)((out - 1) * scale) >= in) --out;
    while (out < n_out && (int)(out * scale) < in) ++out;
    return out;
}
__device__ Outputs find_outputs(int in, int n_in, int n_out, float scale) {
    return {find_first(in, n_out, scale), in + 1 < n_in ? find_first(in + 1, n_out, scale) : n_out};
}
"""


def resize_nearest(x: Variable, size: int | Size) -> Variable:
    """Resize a map to any size; output pixel i copies input pixel floor(i * in / out).

    Args:
        x (Variable): float16/32/64, (B, C, H, W).
        size (int or pair of ints): Rows and columns of the result.

    Returns:
        Variable: dtype of x, (B, C, *size).

    Raises:
        TypeError: if x is no float array.
        ValueError: if x is not (B, C, H, W), or ``size`` not positive.

    Source:
        PyTorch ``interpolate(mode="nearest")``, which computes in / out in float32.

    Example:
        >>> x = np.array([[[[1.0, 2.0]]]], np.float32)
        >>> resize_nearest(x, (1, 4)).array
        array([[[[1., 1., 2., 2.]]]], dtype=float32)
    """
    check_map("resize_nearest", x)
    size = check_outsize("resize_nearest", size, "size")
    sides = x.shape[2:]

    def sources():
        return [_nearest(*sizes) for sizes in zip(size, sides, strict=True)]

    def copy(x):
        if not isinstance(x, np.ndarray):
            return _copy_nearest(x, size)
        rows, columns = sources()
        if (compiled := import_compiled("numba_nearest")) and x.dtype != np.float16:
            return compiled.resize(x, rows, columns)
        return x.take(columns, axis=3).take(rows, axis=2)  # whole rows last: they copy faster

    def matrices():
        return [source[:, None] == np.arange(n_in) for source, n_in in zip(sources(), sides, strict=True)]

    def add(gy):
        if not isinstance(gy, np.ndarray):
            return _sum_nearest(gy, sides)
        if (compiled := import_compiled("numba_nearest")) and gy.dtype != np.float16:
            return compiled.add(gy, *sources(), sides)
        return apply_separable(gy, *(matrix.T for matrix in matrices()))

    return linear_map("resize_nearest", x, copy, add)


def _nearest(n_out, n_in):
    """Return the input pixel of each output pixel."""
    scale = np.float32(n_in) / np.float32(n_out)
    at = np.floor(np.arange(n_out, dtype=np.float32) * scale).astype(np.int64)
    return np.minimum(at, n_in - 1)


def _copy_nearest(x, size):
    """Look up each output pixel on a GPU, as ``_nearest`` does."""
    y = backend.get_array_module(x).empty((*x.shape[:2], *size), x.dtype)
    scales = (np.float32(n_in) / np.float32(n_out) for n_in, n_out in zip(x.shape[2:], size, strict=True))
    cuda.elementwise(
        "raw T x, int32 height, int32 width, int32 rows, int32 columns, float32 scale_y, float32 scale_x",
        "T y",
        """
        const Index line = (Index)i / columns, plane = line / rows;
        const int row = (int)(line % rows * scale_y), column = (int)((Index)i % columns * scale_x);
        y = x[(plane * height + (row < height ? row : height - 1)) * width + (column < width ? column : width - 1)];
        """,
        "resize_nearest",
        preamble=_index_type(x, y),
        options=OPTIONS,
    )(x, *x.shape[2:], *size, *scales, y)
    return y


def _index_type(*arrays):
    """Define a type that counts the elements: dividing 64 bits takes longer than memory does, in any dtype."""
    return f"typedef {'unsigned int' if max(a.size for a in arrays) < 2**31 else 'long long'} Index;"


def _sum_nearest(gy, size):
    """Sum the output pixels of each input pixel on a GPU: the transpose of ``_copy_nearest``."""
    gx = backend.get_array_module(gy).empty((*gy.shape[:2], *size), gy.dtype)
    scales = (np.float32(n_in) / np.float32(n_out) for n_in, n_out in zip(size, gy.shape[2:], strict=True))
    cuda.elementwise(
        "raw T gy, int32 height, int32 width, int32 rows, int32 columns, float32 scale_y, float32 scale_x",
        "T gx",
        """
        const Index line = (Index)i / width, plane = line / height;
        const Outputs vertical = find_outputs(line % height, height, rows, scale_y);
        const Outputs horizontal = find_outputs((Index)i % width, width, columns, scale_x);
        Real sum = 0;
        for (int row = vertical.first; row < vertical.end; ++row)
            for (int column = horizontal.first; column < horizontal.end; ++column)
                sum += gy[(plane * rows + row) * columns + column];
        gx = sum;
        """,
        "sum_nearest",
        options=OPTIONS,
        preamble=OUTPUTS % REALS[compute_dtype(gy.dtype)] + _index_type(gx, gy),
    )(gy, *size, *gy.shape[2:], *scales, gx)
    return gx


def resize_bilinear(x: Variable, size: int | Size, *, align_corners: bool = False) -> Variable:
    """Resize a map to any size by bilinear interpolation, without antialiasing.

    Args:
        x (Variable): float16/32/64, (B, C, H, W).
        size (int or pair of ints): Rows and columns of the result.
        align_corners (bool): Whether the centres of the corner pixels are aligned; otherwise their outer corners are.

    Returns:
        Variable: dtype of x, (B, C, *size). float16 is computed in float32.

    Raises:
        TypeError: if x is no float array.
        ValueError: if x is not (B, C, H, W), or ``size`` not positive.

    Source:
        PyTorch ``interpolate(mode="bilinear")``.

    Example:
        >>> x = np.array([[[[0.0, 4.0]]]], np.float32)
        >>> resize_bilinear(x, (1, 4)).array
        array([[[[0., 1., 3., 4.]]]], dtype=float32)
        >>> resize_bilinear(x, (1, 3), align_corners=True).array
        array([[[[0., 2., 4.]]]], dtype=float32)
    """
    check_map("resize_bilinear", x)
    size = check_outsize("resize_bilinear", size, "size")
    dtype, sides = compute_dtype(x.dtype), x.shape[2:]

    def sources():
        return [find_sources(*sizes, align_corners, dtype) for sizes in zip(size, sides, strict=True)]

    def interpolate(x):
        if not isinstance(x, np.ndarray):
            return _interpolate_on_gpu(x, size, align_corners)
        y = x.astype(dtype, copy=False)
        for axis, taps in zip((3, 2), reversed(sources()), strict=True):
            y = _interpolate(y, axis, *taps)
        return y.astype(x.dtype, copy=False)

    def matrices():
        return [_matrix(*taps, n_in) for taps, n_in in zip(sources(), sides, strict=True)]

    return separable_map("resize_bilinear", x, matrices, forward=interpolate, align_corners=align_corners)


def source_scale(n_out: int, n_in: int, align_corners: bool, dtype: np.dtype) -> np.floating:
    """Return the input pixels per output pixel of an axis, of a dtype."""
    n_in, n_out = (n_in - 1, max(n_out - 1, 1)) if align_corners else (n_in, n_out)
    return dtype.type(n_in) / dtype.type(n_out)


def find_sources(n_out: int, n_in: int, align_corners: bool, dtype: np.dtype) -> tuple[Array, Array, Array]:
    """Return lower and upper input pixel of each output pixel of an axis, and the weight of the upper, of a dtype."""
    scale, half = source_scale(n_out, n_in, align_corners, dtype), 0 if align_corners else dtype.type(0.5)
    at = np.maximum((np.arange(n_out, dtype=dtype) + half) * scale - half, 0)
    low = np.minimum(at.astype(np.int64), n_in - 1)
    return low, np.minimum(low + 1, n_in - 1), at - low.astype(dtype)


def _interpolate(x, axis, low, high, upper):
    upper = upper.reshape((-1,) + (1,) * (3 - axis))
    below, above = x.take(low, axis=axis), x.take(high, axis=axis)
    below *= 1 - upper
    above *= upper
    below += above
    return below


def _interpolate_on_gpu(x: Array, size: Size, align_corners: bool) -> Array:
    y, dtype = backend.get_array_module(x).empty((*x.shape[:2], *size), x.dtype), compute_dtype(x.dtype)
    scales = [float(source_scale(*sizes, align_corners, dtype)) for sizes in zip(size, x.shape[2:], strict=True)]
    cuda.elementwise(
        "raw T x, int32 height, int32 width, int32 rows, int32 columns, "
        "float64 scale_y, float64 scale_x, bool align_corners",
        "T y",
        """
        const ptrdiff_t line = i / columns, first = line / rows * height * width;
        const Source row = find_source(line % rows, height, scale_y, align_corners);
        const Source column = find_source(i % columns, width, scale_x, align_corners);
        Real value[2];
        for (int k = 0; k < 2; ++k) {
            const ptrdiff_t start = first + (ptrdiff_t)(k ? row.high : row.low) * width;
            value[k] = interpolate(x[start + column.low], x[start + column.high], column.upper);
        }
        y = interpolate(value[0], value[1], row.upper);
        """,
        "resize_bilinear",
        preamble=BILINEAR % REALS[dtype],
        options=OPTIONS,
    )(x, *x.shape[2:], *size, *scales, align_corners, y)
    return y


def _matrix(low, high, upper, n_in):
    matrix = np.zeros((len(low), n_in), upper.dtype)
    out = np.arange(len(low))
    matrix[out, low] = 1 - upper
    matrix[out, high] += upper
    return matrix
