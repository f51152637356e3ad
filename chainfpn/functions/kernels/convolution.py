"""Two-dimensional convolution and its two gradients on NumPy arrays, by matrix products.

The windows of a few output rows are laid out as the columns of a matrix that stays in the cache, and the product with
the weights is written where the result belongs: no array is transposed or copied afterwards. Large 3x3 convolutions in
float32 go to ``winograd``. float16 is computed in float32.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from chainer.utils.conv import get_conv_outsize

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import compute_dtype

#: Bytes of columns made at a time: enough work for a product on several threads, and few enough to stay in the cache.
BLOCK_BYTES = 8 << 20


class Geometry(NamedTuple):
    """Where the windows lie: pairs of rows and columns, and the number of independent groups of channels."""

    stride: Size
    pad: Size
    dilate: Size
    groups: int

    def outsize(self, x_shape: tuple, ksize: Size) -> Size:
        """Return the rows and columns of the output."""
        axes = zip(x_shape[2:], ksize, self.stride, self.pad, self.dilate, strict=True)
        size = tuple(get_conv_outsize(size, k, s, p, d=d) for size, k, s, p, d in axes)
        if min(size) < 1:
            raise ValueError(f"convolution_2d: x must hold a window of {ksize}, got shape {x_shape} for {self}")
        return size


@functools.cache
def _winograd():
    """Import Winograd's algorithm on first use; None where Numba is not installed or cannot be imported."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return None
    from chainfpn.functions.kernels import winograd

    return winograd


def _winograd_for(dtype, x_shape, W_shape, geometry, of_weights=False):
    """Return Winograd's algorithm where it applies to this convolution and is faster, otherwise None."""
    plain = W_shape[2:] == (3, 3) and geometry.stride == geometry.dilate == (1, 1) and geometry.groups == 1
    if not plain or max(geometry.pad) > 2 or dtype != np.float32:
        return None
    winograd = _winograd()
    outsize = geometry.outsize(x_shape, W_shape[2:])
    good = winograd is not None and winograd.pays(x_shape[0], *W_shape[:2], outsize, of_weights=of_weights)
    return winograd if good else None


def forward(x: Array, W: Array, geometry: Geometry) -> Array:
    """Convolve.

    Args:
        x (array): float, (B, C, H, W).
        W (array): float, (O, C / groups, kh, kw).
        geometry (Geometry): Stride, padding, dilation, groups.

    Returns:
        array: dtype of x, (B, O, outh, outw).
    """
    dtype = compute_dtype(x.dtype)
    winograd = _winograd_for(dtype, x.shape, W.shape, geometry)
    if winograd is not None:
        return winograd.forward(_prepare(x), _prepare(W), geometry.pad).astype(x.dtype, copy=False)
    outh, outw = geometry.outsize(x.shape, W.shape[2:])
    y = np.empty((len(x), geometry.groups, len(W) // geometry.groups, outh * outw), dtype)
    weights = _by_group(W.astype(dtype, copy=False), geometry.groups)
    for image, pixels, columns in _blocks(x.astype(dtype, copy=False), W.shape[2:], geometry):
        np.matmul(weights, columns, out=y[image, :, :, pixels])
    return y.reshape(len(x), len(W), outh, outw).astype(x.dtype, copy=False)


def weight_gradient(x: Array, gy: Array, W_shape: tuple, W_dtype: np.dtype, geometry: Geometry) -> Array:
    """Run the transpose of ``forward`` in W: gradients (B, O, outh, outw) to ``W_shape``."""
    dtype = compute_dtype(x.dtype)
    winograd = _winograd_for(dtype, x.shape, W_shape, geometry, of_weights=True)
    if winograd is not None:
        return winograd.weight_gradient(_prepare(x), _prepare(gy), geometry.pad).astype(W_dtype, copy=False)
    gy = _by_group(gy.astype(dtype, copy=False), geometry.groups, axis=1)
    gW = None
    for image, pixels, columns in _blocks(x.astype(dtype, copy=False), W_shape[2:], geometry):
        part = np.matmul(gy[image, :, :, pixels], columns.swapaxes(1, 2))
        gW = part if gW is None else np.add(gW, part, out=gW)
    if gW is None:
        gW = np.zeros(W_shape, dtype)
    return gW.reshape(W_shape).astype(W_dtype, copy=False)


def input_gradient(gy: Array, W: Array, x_shape: tuple, geometry: Geometry) -> Array:
    """Run the transpose of ``forward`` in x: gradients (B, O, outh, outw) to ``x_shape``."""
    winograd = _winograd_for(compute_dtype(gy.dtype), x_shape, W.shape, geometry)
    if winograd is not None:
        return winograd.input_gradient(_prepare(gy), _prepare(W), geometry.pad).astype(gy.dtype, copy=False)
    kernel = np.array(W.shape[2:])
    border = np.array(geometry.dilate) * (kernel - 1) - geometry.pad
    if geometry.stride == (1, 1) and border.min() >= 0:
        turned = _by_group(W, geometry.groups, keep=True)[..., ::-1, ::-1].swapaxes(1, 2)
        turned = turned.reshape(-1, *turned.shape[2:])  # (C, O / groups, kh, kw)
        return forward(gy, turned, geometry._replace(pad=tuple(border.tolist())))
    return _scatter(gy, W, x_shape, geometry)


def _scatter(gy, W, x_shape, geometry):
    """Add the gradient of every window to the pixels under it."""
    dtype = compute_dtype(gy.dtype)
    (sy, sx), (ph, pw), (dy, dx), groups = geometry
    n_images, n_channels, height, width = x_shape
    outh, outw = gy.shape[2:]
    kh, kw = W.shape[2:]
    weights = _by_group(W.astype(dtype, copy=False), groups).swapaxes(1, 2)
    gradients = _by_group(gy.astype(dtype, copy=False), groups, axis=1)
    gx = np.zeros((n_images, n_channels, height + 2 * ph, width + 2 * pw), dtype)
    for image in range(n_images):
        for begin, end in _row_ranges(outh, n_channels * kh * kw * outw * dtype.itemsize):
            columns = np.matmul(weights, gradients[image, :, :, begin * outw : end * outw])
            columns = columns.reshape(n_channels, kh, kw, end - begin, outw)
            for i in range(kh):
                for j in range(kw):
                    rows = slice(begin * sy + i * dy, (end - 1) * sy + i * dy + 1, sy)
                    gx[image, :, rows, j * dx : (outw - 1) * sx + j * dx + 1 : sx] += columns[:, i, j]
    return gx[:, :, ph : ph + height, pw : pw + width].astype(gy.dtype, copy=False)


def _blocks(x, ksize, geometry):
    """Lay out the windows as columns, some output rows at a time.

    Args:
        x (array): (B, C, H, W).
        ksize (tuple): Taps of a window, rows and columns.
        geometry (Geometry): Stride, padding, dilation, groups.

    Yields:
        tuple: Image, slice of its output pixels, and (groups, C / groups * kh * kw, pixels), overwritten by the next.
    """
    (sy, sx), (ph, pw), (dy, dx), groups = geometry
    n_images, n_channels, height, width = x.shape
    kh, kw = ksize
    if tuple(ksize) == geometry.stride == (1, 1) and geometry.pad == (0, 0):
        for image in range(n_images):
            yield image, slice(None), np.ascontiguousarray(x[image]).reshape(groups, n_channels // groups, -1)
        return
    outh, outw = geometry.outsize(x.shape, ksize)
    padded = np.zeros((n_channels, height + 2 * ph, width + 2 * pw), x.dtype) if ph or pw else None
    ranges = _row_ranges(outh, n_channels * kh * kw * outw * x.dtype.itemsize)
    buffer = np.empty(n_channels * kh * kw * outw * max(end - begin for begin, end in ranges), x.dtype)
    for image in range(n_images):
        source = x[image]
        if padded is not None:
            padded[:, ph : ph + height, pw : pw + width] = source
            source = padded
        for begin, end in ranges:
            shape = (n_channels, kh, kw, end - begin, outw)
            columns = buffer[: math.prod(shape)].reshape(shape)
            for i in range(kh):
                rows = slice(begin * sy + i * dy, (end - 1) * sy + i * dy + 1, sy)
                for j in range(kw):
                    columns[:, i, j] = source[:, rows, j * dx : (outw - 1) * sx + j * dx + 1 : sx]
            yield image, slice(begin * outw, end * outw), columns.reshape(groups, -1, (end - begin) * outw)


def _prepare(a):
    return np.ascontiguousarray(a, compute_dtype(a.dtype))


def _row_ranges(n_rows, row_bytes):
    """Cut rows into ranges of about ``BLOCK_BYTES``, as equal as can be."""
    n_blocks = min(-(-n_rows * row_bytes // BLOCK_BYTES), n_rows)
    bounds = np.linspace(0, n_rows, n_blocks + 1).astype(int).tolist()
    return list(itertools.pairwise(bounds))


def _by_group(a, groups, *, axis=0, keep=False):
    """Split the channels of an axis into groups, and merge the axes after it unless ``keep``."""
    head, tail = a.shape[:axis], a.shape[axis + 1 :]
    tail = tail if keep else (math.prod(tail),)
    return a.reshape(*head, groups, a.shape[axis] // groups, *tail)
