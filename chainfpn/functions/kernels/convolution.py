"""Two-dimensional convolution and its two gradients on NumPy arrays, by matrix products.

The windows of a few output rows are laid out as the columns of a matrix that stays in the cache, and the product with
the weights is written where the result belongs: no array is transposed or copied afterwards. 3x3 convolutions in
float32 go to ``winograd``, unless a map is tiny, groups of few channels to ``numba_grouped``. float16 is computed in
float32.
"""

import contextvars
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from chainer.utils.conv import get_conv_outsize

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import channel_gradients, compute_dtype, for_compiled, import_compiled, threads
from chainfpn.functions.kernels.algorithm import is_winograd
from chainfpn.functions.kernels.columns import column_kernels
from chainfpn.functions.kernels.epilogue import Epilogue, compiled_normalize, nothing
from chainfpn.functions.kernels.product import add_to

#: Bytes of columns made at a time: enough work for a product on several threads, and few enough to stay in the cache.
BLOCK_BYTES = 8 << 20

#: Channels of a group, in or out, that are too few for products of matrices, if there are that many groups.
MOST_IN_GROUP, LEAST_GROUPS = 16, 16

#: Tiles of 4 x 4 outputs on which algorithms are measured; larger maps are like those.
MEASURED_TILES = 128


class Geometry(NamedTuple):
    """Where the windows lie: pairs of rows and columns, and the number of independent groups of channels."""

    stride: Size
    pad: Size
    dilate: Size
    groups: int

    @functools.lru_cache(4096)  # noqa: B019  (a tuple)
    def outsize(self, x_shape: tuple, ksize: Size) -> Size:
        """Return the rows and columns of the output."""
        axes = zip(x_shape[2:], ksize, self.stride, self.pad, self.dilate, strict=True)
        size = tuple(get_conv_outsize(size, k, s, p, d=d) for size, k, s, p, d in axes)
        if min(size) < 1:
            raise ValueError(f"convolution_2d: x must hold a window of {ksize}, got shape {x_shape} for {self}")
        return size

    def is_product(self, ksize: Sequence[int]) -> bool:
        """Return whether the convolution is the product of a matrix and the map as it is."""
        return tuple(ksize) == self.stride == (1, 1) and self.pad == (0, 0)


def _grouped_for(W_shape, geometry):
    """Return the compiled kernels for groups of few channels where those are faster than products, otherwise None."""
    groups, most = geometry.groups, max(W_shape[0] // geometry.groups, W_shape[1])
    pays = (groups >= LEAST_GROUPS and most <= MOST_IN_GROUP) or (groups > 1 and most == 1)
    return import_compiled("numba_grouped") if pays and math.prod(W_shape[2:]) > 1 else None


def _winograd_for(dtype, x_shape, W_shape, geometry):
    """Return Winograd's algorithm where it applies to this convolution and is faster by rule, otherwise None."""
    winograd = _applicable_winograd(dtype, W_shape, geometry)
    if winograd is None:
        return None
    outsize = geometry.outsize(x_shape, W_shape[2:])
    return winograd if winograd.pays(x_shape[0], outsize) else None


def _applicable_winograd(dtype, W_shape, geometry):
    """Return Winograd's algorithm where it applies to this convolution, otherwise None."""
    plain = W_shape[2:] == (3, 3) and geometry.stride == geometry.dilate == (1, 1) and geometry.groups == 1
    fits = plain and max(geometry.pad) <= 2 and dtype == np.float32
    winograd = import_compiled("winograd") if fits else None
    return winograd if winograd and min(W_shape[:2]) >= winograd.MIN_CHANNELS else None


def _fastest_winograd_for(x, W, geometry):
    """Return the same where it is faster as measured on some rows of the first image, or as the user says."""
    winograd = _applicable_winograd(compute_dtype(x.dtype), W.shape, geometry)
    if winograd is None or not len(x):
        return None
    outh, outw = geometry.outsize(x.shape, W.shape[2:])
    n_columns, n_tiles = -(-outw // 4), len(x) * -(-outh // 4) * -(-outw // 4)
    n_rows = 4 * max(1, MEASURED_TILES // n_columns) + 2  # with padding a row more or less, which does not matter
    after = nothing(compute_dtype(x.dtype))

    def run(algorithm: Callable, place: tuple) -> Array:
        return algorithm(_prepare(x[:1, :, :n_rows]), _prepare(W), *place)

    good = is_winograd(
        winograd.pays(len(x), (outh, outw)),
        (*W.shape[:2], min(n_tiles, MEASURED_TILES).bit_length()),
        partial(run, winograd.forward, (geometry.pad, after)),
        partial(run, _direct, (geometry, after)),
    )
    return winograd if good else None


def forward(x: Array, W: Array, geometry: Geometry, epilogue: Epilogue | None = None, *, by_rule: bool = True) -> Array:
    """Convolve.

    Args:
        x (array): float, (B, C, H, W).
        W (array): float, (O, C / groups, kh, kw).
        geometry (Geometry): Stride, padding, dilation, groups.
        epilogue (Epilogue or None): What follows.
        by_rule (bool): Choose the algorithm by rule, as in training, not by a measurement.

    Returns:
        array: dtype of x, (B, O, outh, outw).
    """
    dtype = compute_dtype(x.dtype)
    after = nothing(dtype) if epilogue is None else epilogue
    winograd = _winograd_for(dtype, x.shape, W.shape, geometry) if by_rule else _fastest_winograd_for(x, W, geometry)
    if winograd is not None:
        return winograd.forward(_prepare(x), _prepare(W), geometry.pad, after).astype(x.dtype, copy=False)
    outh, outw = geometry.outsize(x.shape, W.shape[2:])
    if grouped := _grouped_for(W.shape, geometry):
        y_shape = len(x), len(W), outh, outw
        return grouped.forward(_prepare(x), _prepare(W), y_shape, geometry, after).astype(x.dtype, copy=False)
    return _direct(_prepare(x), W, geometry, epilogue).astype(x.dtype, copy=False)


def _direct(x, W, geometry, epilogue):
    """Convolve by products of blocks of columns, in the dtype of x, and apply the epilogue if there is one."""
    outh, outw = geometry.outsize(x.shape, W.shape[2:])
    y = np.empty((len(x), geometry.groups, len(W) // geometry.groups, outh * outw), x.dtype)
    weights = _by_group(W.astype(x.dtype, copy=False), geometry.groups)
    normalize = compiled_normalize()

    def multiply(columns: Array, image: int, pixels: slice) -> None:
        alone = len(x) == 1 and columns.shape[2] == y.shape[3]  # threads without a block share the output channels
        n_shares = weights.size * columns.shape[2] / threads.SHARE if alone else 0
        threads.run(partial(share, columns, image, pixels), threads.cut(y.shape[2], min(n_shares, 4)))

    def share(columns: Array, image: int, pixels: slice, begin: int, end: int) -> None:
        np.matmul(weights[:, begin:end], columns, out=y[image, :, begin:end, pixels])
        for first in range(0, 0 if epilogue is None else len(W), y.shape[2]):
            channels = first + begin, first + end
            epilogue.apply(normalize, image, y[image].reshape(len(W), -1), channels, (pixels.start, pixels.stop))

    least = 0 if epilogue is None else len(W) * outw
    _for_blocks(multiply, x, W.shape[2:], geometry, row_numbers=least)
    return y.reshape(len(x), len(W), outh, outw)


def weight_gradient(x: Array, gy: Array, W_shape: tuple, W_dtype: np.dtype, geometry: Geometry) -> Array:
    """Run the transpose of ``forward`` in W: gradients (B, O, outh, outw) to ``W_shape``."""
    dtype = compute_dtype(x.dtype)
    winograd = _winograd_for(dtype, x.shape, W_shape, geometry)
    if winograd is not None:
        return winograd.weight_gradient(_prepare(x), _prepare(gy), geometry.pad).astype(W_dtype, copy=False)
    if grouped := _grouped_for(W_shape, geometry):
        return grouped.weight_gradient(_prepare(x), _prepare(gy), W_shape, geometry).astype(W_dtype, copy=False)
    x, gy = _prepare(x), _prepare(gy)
    is_small = x.shape[1] * math.prod(gy.shape[2:]) * x.itemsize <= BLOCK_BYTES / 2
    if geometry.groups == 1 and (math.prod(W_shape[2:]) > 1 or is_small):
        gW = channel_gradients.weight_gradient(x, gy, W_shape, geometry)
    else:
        gW = _weights_by_pixels(x, gy, W_shape, geometry)
    return gW.reshape(W_shape).astype(W_dtype, copy=False)


def _weights_by_pixels(x, gy, W_shape, geometry):
    """Compute the gradients of the weights; threads share blocks of pixels, whose sums are added in a fixed order."""
    gy = _by_group(gy, geometry.groups, axis=1)

    def multiply(columns: Array, image: int, pixels: slice) -> Array:
        return np.matmul(gy[image, :, :, pixels], columns.swapaxes(1, 2))

    gW = _for_blocks(multiply, x, W_shape[2:], geometry, add_up=True)
    return np.zeros(W_shape, x.dtype) if gW is None else gW


def input_gradient(gy: Array, W: Array, x_shape: tuple, geometry: Geometry) -> Array:
    """Run the transpose of ``forward`` in x: gradients (B, O, outh, outw) to ``x_shape``."""
    winograd = _winograd_for(compute_dtype(gy.dtype), x_shape, W.shape, geometry)
    if winograd is not None:
        return winograd.input_gradient(_prepare(gy), _prepare(W), geometry.pad).astype(gy.dtype, copy=False)
    if grouped := _grouped_for(W.shape, geometry):
        return grouped.input_gradient(_prepare(gy), _prepare(W), x_shape, geometry).astype(gy.dtype, copy=False)
    if geometry.is_product(W.shape[2:]):
        turned = _by_group(W, geometry.groups, keep=True).swapaxes(1, 2)
        return forward(gy, turned.reshape(-1, *turned.shape[2:]), geometry)  # (C, O / groups, 1, 1)
    weights = for_compiled(W, compute_dtype(gy.dtype))
    gx = channel_gradients.input_gradient(_prepare(gy), weights, x_shape, geometry)
    return gx.astype(gy.dtype, copy=False)


def gradients(
    wanted: Sequence[int], x: Array, W: Array, gy: Array, geometry: Geometry, before: Array | None = None
) -> list[Array]:
    """Compute gradients at the same time: threads share them, and each shares with those that have nothing to do.

    Args:
        wanted (sequence of int): Gradients of what: 0 for x, 1 for W, 2 for a bias.
        x, W, gy, geometry: As in ``forward``; gradients, (B, O, outh, outw).
        before (array or None): dtype and shape of x, added to its gradient.

    Returns:
        list of array: Of the dtypes and shapes of x, W and (O,).
    """
    gy = for_compiled(gy)  # once for both

    def of_input() -> Array:
        gx = input_gradient(gy, W, x.shape, geometry)
        if before is not None:
            add_to(gx, before)
        return gx

    def of_weights() -> Array:
        return weight_gradient(x, gy, W.shape, W.dtype, geometry)

    functions = of_input, of_weights, lambda: gy.sum(axis=(0, 2, 3))
    found: dict[int, Array] = {}

    def compute(context: contextvars.Context, i: int) -> None:
        found[i] = context.run(functions[i])

    threads.run(compute, [(contextvars.copy_context(), i) for i in (1, 0, 2) if i in wanted])
    return [found[i] for i in wanted]


def _for_blocks(multiply, x, ksize, geometry, *, row_numbers=0, add_up=False):
    """Lay out the windows as columns, some output rows at a time, and hand them to a product; threads share the blocks.

    Args:
        multiply (callable): Takes (groups, C / groups * kh * kw, pixels), the image, and the slice of output pixels.
        x (array): (B, C, H, W).
        ksize (tuple): Taps of a window, rows and columns.
        geometry (Geometry): Stride, padding, dilation, groups.
        row_numbers (int): How many stay in the cache for an output row beside its columns.
        add_up (bool): Return the sum of what it returns, added in a fixed order.
    """
    n_images, n_channels = x.shape[:2]
    outh, outw = geometry.outsize(x.shape, ksize)
    as_it_is = geometry.is_product(ksize)
    row_columns = n_channels * math.prod(ksize) * outw
    ranges = threads.cut(outh, outh * max(row_columns, row_numbers) * x.itemsize / BLOCK_BYTES)
    size = 0 if as_it_is else row_columns * max(end - begin for begin, end in ranges)

    def work(buffer: Array, image: int, rows: tuple[int, int]) -> Array:
        begin, end = rows
        columns = x[image, :, begin:end]
        if not as_it_is:
            columns = buffer[: row_columns * (end - begin)].reshape(n_channels, *ksize, end - begin, outw)
            n_shares = columns.nbytes / channel_gradients.COLUMN_BYTES if alone else 0
            threads.run(partial(share, x[image], begin, columns), threads.cut(n_channels, min(n_shares, 4)))
        pixels = slice(begin * outw, end * outw)
        return multiply(columns.reshape(geometry.groups, -1, pixels.stop - pixels.start), image, pixels)

    def share(source: Array, begin: int, columns: Array, first: int, last: int) -> None:
        lay_out(source[first:last], begin, *geometry[:3], columns[first:last])

    lay_out, _ = column_kernels()
    blocks = list(itertools.product(range(n_images), ranges))
    alone = len(blocks) == 1
    return (threads.add_up if add_up else threads.run)(work, blocks, lambda: np.empty(size, x.dtype))


def _prepare(a):
    return for_compiled(a, compute_dtype(a.dtype))


def _by_group(a, groups, *, axis=0, keep=False):
    """Split the channels of an axis into groups, and merge the axes after it unless ``keep``."""
    head, tail = a.shape[:axis], a.shape[axis + 1 :]
    tail = tail if keep else (math.prod(tail),)
    return a.reshape(*head, groups, a.shape[axis] // groups, *tail)
