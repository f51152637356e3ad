"""Both gradients of a convolution by products of columns, where threads share the input channels.

What belongs to an input channel, its gradient or that of its weights, one thread computes alone: there is nothing to
add up between threads, and no weight is copied.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import threads
from chainfpn.functions.kernels.columns import column_kernels

if TYPE_CHECKING:
    from chainfpn.functions.kernels.convolution import Geometry

#: Bytes of columns that stay in the cache of a core; and how many taps of channels make a product of some height.
COLUMN_BYTES, LEAST_TAPS = 2 << 20, 256

#: A BLAS takes longer to pack the operand of the result's columns than that of its rows: a third of a nanosecond a
#: number. To turn a result that was computed the other way round takes so many times as long, a number of it.
TURN = 3


class _Blocks:
    """Ranges of channels whose columns stay in the cache, and of output rows where few channels are too many.

    Attributes:
        channels, rows (list of (int, int)): First, and last exclusive.
        size (int): Numbers of the columns of a range of both, at most.
    """

    def __init__(self, n_channels: int, n_taps: int, outsize: Size, itemsize: int) -> None:
        line_bytes = n_taps * outsize[1] * itemsize
        n_ranges = max(n_channels * outsize[0] * line_bytes / COLUMN_BYTES, 1)
        self.channels = threads.cut(n_channels, min(n_ranges, n_channels * n_taps / LEAST_TAPS))
        most = max(end - begin for begin, end in self.channels)
        self.rows = threads.cut(outsize[0], most * outsize[0] * line_bytes / (4 * COLUMN_BYTES))
        self.size = most * max(end - begin for begin, end in self.rows) * line_bytes // itemsize


def weight_gradient(x: Array, gy: Array, W_shape: tuple, geometry: Geometry) -> Array:
    """Compute the gradient of the weights of one group.

    Args:
        x (array): float32 or float64, (B, C, H, W), C-contiguous.
        gy (array): dtype of x, (B, O, outh, outw), C-contiguous.
        W_shape (tuple): (O, C, kh, kw).
        geometry (Geometry): Of the convolution.

    Returns:
        array: dtype of x, ``W_shape``.
    """
    n_out, n_in, *ksize = W_shape
    outh, outw = gy.shape[2:]
    n_taps = math.prod(ksize)
    as_it_is = geometry.is_product(ksize)
    blocks = _Blocks(n_in, n_taps, (outh, outw), x.itemsize)
    gW = (np.empty if len(x) else np.zeros)((n_out, n_in * n_taps), x.dtype)
    flat = gy.reshape(*gy.shape[:2], outh * outw)
    lay_out, _ = column_kernels()

    def columns_of(buffer: Array, begin: int, end: int) -> Iterator[tuple[int, slice, Array]]:
        for image in range(len(x)):
            if as_it_is:
                yield image, slice(None), x[image, begin:end].reshape(end - begin, -1)
                continue
            for top, bottom in blocks.rows:
                columns = _part(buffer, end - begin, *ksize, bottom - top, outw)
                lay_out(x[image, begin:end], top, *geometry[:3], columns)
                yield image, slice(top * outw, bottom * outw), columns.reshape((end - begin) * n_taps, -1)

    def work(buffer: Array, begin: int, end: int) -> None:
        out = gW[:, begin * n_taps : end * n_taps]
        for number, (image, pixels, columns) in enumerate(columns_of(buffer, begin, end)):
            gradients, more = flat[image, :, pixels], number > 0
            if columns.shape[1] * (len(columns) - n_out) > TURN * out.size:
                product = np.matmul(columns, gradients.T).T
            else:
                product = np.matmul(gradients, columns.T, out=None if more else out)
            if more:
                out += product
            elif product is not out:
                out[...] = product

    threads.run(work, blocks.channels, lambda: np.empty(0 if as_it_is else blocks.size, x.dtype))
    return gW.reshape(W_shape)


def input_gradient(gy: Array, W: Array, x_shape: tuple, geometry: Geometry) -> Array:
    """Add the gradient of every window to the pixels under it; threads share the groups, too.

    Args:
        gy (array): float32 or float64, (B, O, outh, outw), C-contiguous.
        W (array): dtype of gy, (O, C / groups, kh, kw), C-contiguous.
        x_shape (tuple): (B, C, H, W).
        geometry (Geometry): Of the convolution.

    Returns:
        array: dtype of gy, ``x_shape``.
    """
    (n_images, n_channels, *size), groups, ksize = x_shape, geometry.groups, W.shape[2:]
    outh, outw = gy.shape[2:]
    n_inside, n_taps = n_channels // groups, math.prod(ksize)
    weights = W.reshape(groups, len(W) // groups, n_inside * n_taps)
    gradients = gy.reshape(n_images, groups, len(W) // groups, outh * outw)
    gx = np.empty((n_images, groups, n_inside, *size), gy.dtype)
    blocks = _Blocks(n_inside, n_taps, (outh, outw), gy.itemsize)
    _, fold = column_kernels()

    def work(buffer: Array, image: int, group: int, channels: tuple[int, int]) -> None:
        begin, end = channels
        mine, out = weights[group, :, begin * n_taps : end * n_taps].T, gx[image, group, begin:end]
        out[...] = 0
        for top, bottom in blocks.rows:
            columns = _part(buffer, len(mine), (bottom - top) * outw)
            np.matmul(mine, gradients[image, group, :, top * outw : bottom * outw], out=columns)
            fold(out, top, *geometry[:3], columns.reshape(end - begin, *ksize, bottom - top, outw))

    tasks = list(itertools.product(range(n_images), range(groups), blocks.channels))
    threads.run(work, tasks, lambda: np.empty(blocks.size, gy.dtype))
    return gx.reshape(x_shape)


def _part(buffer, *shape):
    return buffer[: math.prod(shape)].reshape(shape)
