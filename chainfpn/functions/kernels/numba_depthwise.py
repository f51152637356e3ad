"""Convolution of every channel by itself, compiled: MobileNet's. A product of matrices would have one row.

A channel of the input has len(W) / C channels of the output, one after the other. For the output, a strip of a channel
is laid out with zeros around it, its pixels dealt out by their places in a stride: so what a tap adds to all outputs of
the strip lies one after the other, whatever the stride is, and however short a row.
"""

import itertools
import math

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import threads
from chainfpn.functions.kernels.columns import find_inside
from chainfpn.functions.kernels.epilogue import Epilogue
from chainfpn.functions.kernels.numba_common import arithmetic, inner_arithmetic, inner_exact
from chainfpn.functions.kernels.numba_normalize import normalize_in_place

#: What is computed from the other two.
OUTPUT, INPUT, WEIGHTS = 0, 1, 2

#: Outputs of a strip: its numbers and those they are made of stay in the innermost cache.
STRIP = 2048

#: Outputs that a loop computes at a time, if need be a few too many.
LANES = 16

#: Bytes of a share of an image's channels.
SHARE_BYTES = 1 << 18


def forward(x: Array, W: Array, y_shape: tuple, geometry: tuple, epilogue: Epilogue) -> Array:
    """Convolve (B, C, H, W) with (O, 1, kh, kw) to ``y_shape``, and apply what follows."""
    y = np.empty(y_shape, x.dtype)
    pixels, per_channel = (0, math.prod(y_shape[2:])), len(W) // x.shape[1]

    def finish(image: int, begin: int, end: int) -> None:
        flat = y[image].reshape(len(W), -1)
        epilogue.apply(normalize_in_place, image, flat, (begin * per_channel, end * per_channel), pixels)

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
        given = x[k], weights[k % len(weights)], *geometry[:3], y[k], *share
        _correlate(*given) if wanted == OUTPUT else _convolve(wanted, *given)
        if finish is not None:
            finish(k, *share)

    threads.run(work, list(itertools.product(range(len(x)), shares)))


_find_inside = inner_arithmetic(find_inside)


@arithmetic
def _correlate(x, W, stride, pad, dilate, y, begin_channel, end_channel):
    """Fill y, (O, outh, outw), from (C, H, W) and (O, kh, kw), for some channels of x."""
    (sy, sx), (outh, outw) = stride, y.shape[1:]
    n_taps = W.shape[1] * W.shape[2]
    below, beside = (W.shape[1] - 1) * dilate[0] // sy, (W.shape[2] - 1) * dilate[1] // sx
    width = outw + beside
    height = min(outh, max(1, STRIP // width))
    size = (height + below) * width  # of the pixels at one place in a stride
    strip, sums = np.zeros(sy * sx * size + LANES, x.dtype), np.empty(height * width + LANES, x.dtype)
    offsets = np.empty(n_taps, np.int64)
    for tap in range(n_taps):
        row, column = tap // W.shape[2] * dilate[0], tap % W.shape[2] * dilate[1]
        offsets[tap] = ((row % sy) * sx + column % sx) * size + row // sy * width + column // sx
    taps, per_channel = W.reshape(len(W), n_taps), len(W) // len(x)
    for c in range(begin_channel, end_channel):
        for top in range(0, outh, height):
            n_rows = min(height, outh - top)
            for place in range(sy * sx):
                first = top * sy + place // sx - pad[0], place % sx - pad[1]
                _lay_out(x[c], first, stride, n_rows + below, width, strip, place * size)
            n = -(-(n_rows * width - beside) // LANES) * LANES
            for o in range(c * per_channel, (c + 1) * per_channel):
                _add_taps(strip, offsets, taps[o], sums, np.uint64(n))
                for i in range(n_rows):
                    start = np.uint64(i * width)
                    for k in range(np.uint64(outw)):
                        y[o, top + i, k] = sums[start + k]


@inner_exact
def _lay_out(plane, first, stride, n_rows, width, strip, start):
    """Copy every ``stride``-th pixel from ``first`` on, (H, W) to n_rows * width; beside them there are zeros."""
    begin, end = _find_inside(width, first[1], stride[1], plane.shape[1])
    n, column = np.uint64(end - begin), np.uint64(first[1] + begin * stride[1])
    for i in range(n_rows):
        target, row = np.uint64(start + i * width + begin), first[0] + i * stride[0]
        if row < 0 or row >= plane.shape[0]:
            for k in range(n):
                strip[target + k] = 0
        elif stride[1] == 1:
            for k in range(n):
                strip[target + k] = plane[row, column + k]
        else:
            for k in range(n):
                strip[target + k] = plane[row, column + k * np.uint64(stride[1])]


@inner_arithmetic
def _add_taps(strip, offsets, weights, sums, n):
    """Set ``sums[:n]`` to the sum of ``weights[tap] * strip[offsets[tap]:][:n]`` over the taps, three at a time."""
    for k in range(n):
        sums[k] = 0
    last = len(weights) - len(weights) % 3
    for tap in range(0, last, 3):
        a, b, c = np.uint64(offsets[tap]), np.uint64(offsets[tap + 1]), np.uint64(offsets[tap + 2])
        u, v, w = weights[tap], weights[tap + 1], weights[tap + 2]
        for k in range(n):
            sums[k] += u * strip[a + k] + v * strip[b + k] + w * strip[c + k]
    for tap in range(last, len(weights)):
        a, u = np.uint64(offsets[tap]), weights[tap]
        for k in range(n):
            sums[k] += u * strip[a + k]


@arithmetic
def _convolve(wanted, x, W, stride, pad, dilate, y, begin_channel, end_channel):
    """Add to what is wanted, (C, H, W) or (O, kh, kw), for some channels of x."""
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
    """Do what one tap does: add to ``plane`` or ``weights[ki, kj]``. Unsigned indices count from the start."""
    n, begin, start = across
    w = weights[ki, kj]
    for i in range(rows[0], rows[1]):
        row = top + i * stride
        if wanted == INPUT:
            for k in range(n):
                plane[row, start + k * step] += w * out[i, begin + k]
        else:
            for k in range(n):
                w += out[i, begin + k] * plane[row, start + k * step]
    if wanted == WEIGHTS:
        weights[ki, kj] = w
