"""Convolution of every channel by itself, compiled: MobileNet's. A product of matrices would have one row.

A channel of the input has len(W) / C channels of the output, one after the other.
"""

import itertools
import math

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import threads
from chainfpn.functions.kernels.convolution import find_inside
from chainfpn.functions.kernels.epilogue import Epilogue
from chainfpn.functions.kernels.numba_common import arithmetic, inner_arithmetic

#: What is computed from the other two.
OUTPUT, INPUT, WEIGHTS = 0, 1, 2

#: Bytes of a share of an image's channels.
SHARE_BYTES = 1 << 18


def forward(x: Array, W: Array, y_shape: tuple, geometry: tuple, epilogue: Epilogue) -> Array:
    """Convolve (B, C, H, W) with (O, 1, kh, kw) to ``y_shape``, and apply what follows."""
    y = np.zeros(y_shape, x.dtype)
    pixels, per_channel = (0, math.prod(y_shape[2:])), len(W) // x.shape[1]

    def finish(image: int, begin: int, end: int) -> None:
        flat = y[image].reshape(len(W), -1)
        epilogue.apply(image, flat, (begin * per_channel, end * per_channel), pixels)

    _run(OUTPUT, x, W, geometry, y, finish)
    return y


def input_gradient(gy: Array, W: Array, x_shape: tuple, geometry: tuple) -> Array:
    """Run the transpose of ``forward`` in x: gradients (B, O, outh, outw) to ``x_shape``."""
    gx = np.zeros(x_shape, gy.dtype)
    _run(INPUT, gx, W, geometry, gy)
    return gx


def weight_gradient(x: Array, gy: Array, W_shape: tuple, geometry: tuple) -> Array:
    """Run the transpose of ``forward`` in W: gradients (B, O, outh, outw) to ``W_shape``."""
    gW = np.zeros((len(x), *W_shape), x.dtype)
    _run(WEIGHTS, x, gW, geometry, gy)
    return gW.sum(axis=0)


def _run(wanted, x, W, geometry, y, finish=None):
    """Compute what is wanted, (B, O, 1, kh, kw) for the weights; threads share images and channels."""
    weights = W.reshape(-1, y.shape[1], *W.shape[-2:])
    shares = threads.cut(x.shape[1], x.nbytes / max(len(x), 1) / SHARE_BYTES)

    def work(k: int, share: tuple[int, int]) -> None:
        _convolve(wanted, x[k], weights[k % len(weights)], *geometry[:3], y[k], *share)
        if finish is not None:
            finish(k, *share)

    threads.run(work, list(itertools.product(range(len(x)), shares)))


_find_inside = inner_arithmetic(find_inside)


@arithmetic
def _convolve(wanted, x, W, stride, pad, dilate, y, begin_channel, end_channel):
    """Add to what is wanted: (C, H, W), (O, kh, kw) or (O, outh, outw), for some channels of x."""
    per_channel = len(W) // len(x)
    for o in range(begin_channel * per_channel, end_channel * per_channel):
        plane, out, weights = x[o // per_channel], y[o], W[o]
        for kj in range(W.shape[2]):
            first, step = kj * dilate[1] - pad[1], stride[1]
            begin, end = _find_inside(y.shape[2], first, step, x.shape[2])
            for ki in range(W.shape[1]):
                top = ki * dilate[0] - pad[0]
                rows = _find_inside(y.shape[1], top, stride[0], x.shape[1])
                across = (np.uint64(end - begin), np.uint64(begin), np.uint64(first + begin * step))
                if step == 1:  # neighbours are read, which makes it SIMD
                    _add(wanted, plane, weights, ki, kj, out, rows, top, stride[0], across, np.uint64(1))
                else:
                    _add(wanted, plane, weights, ki, kj, out, rows, top, stride[0], across, np.uint64(step))


@inner_arithmetic
def _add(wanted, plane, weights, ki, kj, out, rows, top, stride, across, step):
    """Do what one tap does: add to ``out``, ``plane`` or ``weights[ki, kj]``. Unsigned indices count from the start."""
    n, begin, start = across
    w = weights[ki, kj]
    for i in range(rows[0], rows[1]):
        row = top + i * stride
        if wanted == OUTPUT:
            for k in range(n):
                out[i, begin + k] += w * plane[row, start + k * step]
        elif wanted == INPUT:
            for k in range(n):
                plane[row, start + k * step] += w * out[i, begin + k]
        else:
            for k in range(n):
                w += out[i, begin + k] * plane[row, start + k * step]
    if wanted == WEIGHTS:
        weights[ki, kj] = w
