"""Convolution of every channel by itself, compiled: MobileNet's. A product of matrices would have one row.

Vectors are ``LANES`` neighbouring channels of a pixel. Some rows of a map are turned, with zeros around them, so that a
tap adds pixels times a vector of weights to the sums of ``WINDOWS`` outputs in registers, whatever the stride is, and
however short a row; then the sums are turned back. The gradient of the input is such a convolution of the gradients of
the output, for each place in a stride with the taps that lead there.
"""

import functools
import itertools
import math

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import threads
from chainfpn.functions.kernels.epilogue import Epilogue, nothing
from chainfpn.functions.kernels.numba_common import (
    ZERO,
    aligned,
    arithmetic,
    copy_transposed,
    inner_arithmetic,
    inner_exact,
    larger,
    smaller,
)
from chainfpn.functions.kernels.numba_lanes import (
    LANES,
    add_taps,
    add_three,
    add_two,
    add_windows,
    affine,
    choose,
    fill,
    is_larger,
    load,
    store,
    store_first,
)
from chainfpn.functions.kernels.numba_normalize import normalize_in_place

#: Outputs, and taps of a gradient of the weights, whose sums are in registers at the same time.
WINDOWS, TAPS = 7, 9

#: Bytes of the turned rows that a strip of outputs is made of: they stay in the cache of a core.
STRIP_BYTES = 192 << 10

#: Pixels that are turned at a time, at least: they stay in the innermost cache.
TURNED = 96

#: Bytes of an image, input and output, that are a share of the work.
SHARE_BYTES = 1 << 20


def forward(x: Array, W: Array, y_shape: tuple, geometry: tuple, epilogue: Epilogue) -> Array:
    """Convolve (B, C, H, W) with (C, 1, kh, kw) to ``y_shape``, and apply what follows."""
    y, in_one_go = np.empty(y_shape, x.dtype), epilogue.residual is None
    _run(x, W, y, geometry, epilogue if in_one_go else nothing(x.dtype), is_turned=False)

    def finish(image: int) -> None:
        flat = y[image].reshape(len(W), -1)
        epilogue.apply(normalize_in_place, image, flat, (0, len(W)), (0, flat.shape[1]))

    threads.run(finish, [] if in_one_go else [(image,) for image in range(len(x))])
    return y


def input_gradient(gy: Array, W: Array, x_shape: tuple, geometry: tuple) -> Array:
    """Run the transpose of ``forward`` in x: gradients (B, C, outh, outw) to ``x_shape``."""
    gx = np.empty(x_shape, gy.dtype)
    _run(gy, W, gx, geometry, nothing(gy.dtype), is_turned=True)
    return gx


def weight_gradient(x: Array, gy: Array, W_shape: tuple, geometry: tuple) -> Array:
    """Run the transpose of ``forward`` in W: gradients (B, C, outh, outw) to ``W_shape``."""
    plan, (offsets, order), _, sizes = _plan(x.shape, W_shape[2:], gy.shape[2:], *geometry[:3], x.itemsize, False)
    blocks, rows = _shares(x, gy, gy.shape[2])
    gW = np.zeros((len(rows), math.prod(W_shape)), x.dtype)
    offsets = np.resize(offsets, -(-len(order) // TAPS) * TAPS)
    given = len(x), x.reshape(-1), gy.reshape(-1)
    tasks = [(*given, gW[k], plan, offsets, order, *block, *rows[k]) for k in range(len(rows)) for block in blocks]
    threads.run(_correlate, tasks, lambda: _room(x.dtype, sizes))
    return gW.sum(axis=0).reshape(W_shape)


def _run(x, W, y, geometry, epilogue, *, is_turned):
    """Compute y, (B, C, outh, outw), from x; threads share images, blocks of channels, and the rows of large maps."""
    plan, (_, order), runs, sizes = _plan(x.shape, W.shape[2:], y.shape[2:], *geometry[:3], x.itemsize, is_turned)
    blocks, rows = _shares(x, y, plan[9])
    flat, out = (a.reshape(len(a), math.prod(a.shape[1:])) for a in (x, y))
    given = W.reshape(-1), epilogue[:3], epilogue.relu, plan, order, *runs
    shares = itertools.product(range(len(x)), blocks, rows)
    tasks = [(flat[k], out[k], *given, *block, *part) for k, block, part in shares]
    threads.run(_convolve, tasks, lambda: _room(x.dtype, sizes))


def _shares(x, y, n_rows):
    """Return ranges of blocks of channels, and of rows, that threads share."""
    size, n_blocks = (x.nbytes + y.nbytes) / max(len(x), 1) / SHARE_BYTES, -(-x.shape[1] // LANES)
    return threads.cut(n_blocks, size), threads.cut(n_rows, size / n_blocks)


def _room(dtype, sizes):
    """Make what a thread keeps: turned rows with zeros around them, without, and weights or their gradients."""
    room = tuple(aligned(n, dtype) for n in sizes)
    room[0].fill(0)
    return room


@functools.lru_cache(4096)
def _plan(
    in_shape: tuple, ksize: Size, outsize: Size, stride: Size, pad: Size, dilate: Size, itemsize: int, is_turned: bool
) -> tuple:
    """Return sizes and steps, where taps lie and which they are, runs of them, and the sizes of a thread's arrays."""
    axes = [_axis(*axis, is_turned) for axis in zip(ksize, stride, pad, dilate, strict=True)]
    pads, reach, phases = zip(*axes, strict=True)
    inner, step = ((1, 1), stride) if is_turned else (stride, (1, 1))
    n_rows, n_columns = (-(-n // s) for n, s in zip(outsize, step, strict=True))
    line = (n_columns - 1) * inner[1] + reach[1]
    most = max(STRIP_BYTES // (line * LANES * itemsize) - reach[0], 0) // inner[0] + 1
    strip = -(-n_rows // -(-n_rows // most))
    group, turned = min(strip, -(-TURNED // (outsize[1] * step[0]))), -(-TURNED // in_shape[3])
    taps: list[tuple[int, int]] = []
    runs: list[tuple[int, int, int]] = []
    starts = [0]
    for rows, columns in itertools.product(*phases):
        is_run = inner[1] == 1 and all(b == a + 1 for (_, a), (_, b) in itertools.pairwise(columns))
        for row, i in rows:
            here = [((i * line + j) * LANES, row * ksize[1] + column) for column, j in columns]
            heads = [(k, len(here) if is_run else 1) for k in range(min(len(here), 1) if is_run else len(here))]
            runs += [(here[k][0], (len(taps) + k) * LANES, count) for k, count in heads]
            taps += here
        starts.append(len(runs))
    n_padded = ((strip - 1) * inner[0] + reach[0]) * line + WINDOWS * inner[1]
    sizes = n_padded, max(turned * in_shape[3], group * step[0] * outsize[1]), len(taps) + TAPS
    plan = *in_shape[1:], *outsize, *inner, *step, n_rows, *pads, reach[0], line, strip, group, turned
    table = np.array(taps, np.int64).reshape(-1, 2).T.copy()
    return plan, table, (np.array(runs, np.int64).reshape(-1, 3), np.array(starts)), [n * LANES for n in sizes]


def _axis(n_taps, stride, pad, dilate, is_turned):
    """Return the zeros before an axis, how far taps reach, and for each place in a stride its taps, and where."""
    if not is_turned:
        return pad, (n_taps - 1) * dilate + 1, [[(k, k * dilate) for k in range(n_taps)]]
    before = -((pad - (n_taps - 1) * dilate) // stride)
    places = [[(k, divmod(place + pad - k * dilate, stride)) for k in range(n_taps)] for place in range(stride)]
    phases = [[(k, at + before) for k, (at, rest) in reversed(place) if rest == 0] for place in places]
    return before, before + (stride - 1 + pad) // stride + 1, phases


@arithmetic
def _convolve(room, x, y, W, terms, relu, plan, order, runs, starts, first_block, last_block, first_row, last_row):
    n_channels, height, width, outh, outw, ly, lx, ty, tx, _, py, px, reach, line, strip, group, turned = plan
    padded, out, weights = room
    n_pixels, n_taps, begin, n_lanes = outh * outw, W.size // n_channels, ZERO, smaller(np.int64(LANES), n_channels)
    for block in range(first_block, last_block):
        c = smaller(block * LANES, n_channels - n_lanes)  # the last ones overlap those before
        _take_weights(W, c, n_lanes, n_taps, order, terms, weights)
        for top in range(first_row, last_row, strip):
            end = smaller(top + strip, last_row)
            rows = top * ly - py, (end - top - 1) * ly + reach
            _lay_out(x, c * height * width, n_lanes, height, width, rows, px, line, turned, out, padded)
            for row in range(top, end, group):
                n_rows = smaller(group, end - row)
                at = (row - top) * ly * line * LANES, ly * line * LANES, lx * LANES
                for phase in range(ty * tx):
                    n = smaller(n_rows, -((phase // tx - outh) // ty) - row), -((phase % tx - outw) // tx)
                    to = (phase // tx * outw + phase % tx) * LANES, ty * outw * LANES, tx * LANES
                    _fill(padded, at, weights, runs, (starts[phase], starts[phase + 1]), n, out, to)
                n = smaller(n_rows * ty, outh - row * ty) * outw
                if terms[1].size:
                    _finish(out, n, weights, order.size * LANES, relu)
                copy_transposed(out, begin, LANES, n, n_lanes, y, c * n_pixels + row * ty * outw, n_pixels)


@inner_exact
def _take_weights(W, c, n_lanes, n_taps, order, terms, weights):
    """Fill a vector for each tap, and one for each term of what follows."""
    n = order.size
    for i in range(n_lanes):
        for k in range(n):
            weights[k * LANES + i] = W[(c + i) * n_taps + order[k]]
        if terms[1].size:
            for k, term in enumerate(terms):
                weights[(n + k) * LANES + i] = term[c + i]


@inner_exact
def _lay_out(x, plane, n_lanes, height, width, rows, left, line, n_turned, turned, padded):
    """Turn rows, (channel, row, column), to (row, column, lane) with zeros around the map."""
    n_pixels, begin, nothing = height * width, ZERO, fill(padded.dtype.type(0))
    first, last = larger(left, 0), smaller(line, left + width)
    low, high = larger(rows[0], 0), smaller(rows[0] + rows[1], height)
    for row in range(rows[1]):
        for k in range(0 if low <= rows[0] + row < high else line):
            store(padded, (row * line + k) * LANES, nothing)
    for row in range(low, high, n_turned):
        n = smaller(n_turned, high - row)
        copy_transposed(x, plane + row * width, n_pixels, n_lanes, n * width, turned, begin, LANES)
        for i in range(n):
            to, at = (row + i - rows[0]) * line, i * width - left
            for k in range(first, last):
                store(padded, (to + k) * LANES, load(turned, (at + k) * LANES))


@inner_arithmetic
def _fill(padded, at, weights, runs, span, n, out, to):
    """Compute rows and columns of outputs; they and what they are made of begin somewhere, and have two steps."""
    nothing = fill(padded.dtype.type(0))
    for row in range(n[0]):
        for column in range(0, n[1], WINDOWS):
            sums = (nothing, nothing, nothing, nothing, nothing, nothing, nothing)
            place = at[0] + row * at[1] + column * at[2]
            for k in range(span[0], span[1]):
                pixel, tap, count = place + runs[k, 0], runs[k, 1], runs[k, 2]
                while count >= 3:
                    sums = add_three(sums, weights, tap, padded, pixel)
                    pixel, tap, count = pixel + 3 * LANES, tap + 3 * LANES, count - 3
                if count == 2:
                    sums = add_two(sums, weights, tap, padded, pixel)
                elif count == 1:
                    sums = add_windows(sums, load(weights, tap), padded, pixel, at[2])
            store_first(out, to[0] + row * to[1] + column * to[2], to[2], n[1] - column, sums)


@inner_exact
def _finish(out, n, terms, at, relu):
    """Apply what follows a convolution."""
    centre, scale, shift = load(terms, at), load(terms, at + LANES), load(terms, at + 2 * LANES)
    least = fill(out.dtype.type(0 if relu else -np.inf))
    for k in range(0, n * LANES, LANES):
        value = affine(load(out, k), centre, scale, shift)
        store(out, k, choose(is_larger(least, value), least, value))


@arithmetic
def _correlate(room, n_images, x, gy, gW, plan, offsets, order, first_block, last_block, first_row, last_row):
    n_channels, height, width, outh, outw, ly, lx, _, _, _, py, px, reach, line, strip, group, turned = plan
    padded, out, sums = room
    n_pixels, n_taps, begin, n_lanes = outh * outw, order.size, ZERO, smaller(np.int64(LANES), n_channels)
    for block in range(first_block, last_block):
        c = smaller(block * LANES, n_channels - n_lanes)  # the last ones overlap those before
        for k in range(sums.size):
            sums[k] = 0
        for image in range(n_images):
            plane = image * n_channels + c
            for top in range(first_row, last_row, strip):
                end = smaller(top + strip, last_row)
                rows = top * ly - py, (end - top - 1) * ly + reach
                _lay_out(x, plane * height * width, n_lanes, height, width, rows, px, line, turned, out, padded)
                for row in range(top, end, group):
                    n, first = smaller(group, end - row), plane * n_pixels + row * outw
                    copy_transposed(gy, first, n_pixels, n_lanes, n * outw, out, begin, LANES)
                    at = (row - top) * ly * line * LANES, ly * line * LANES, lx * LANES
                    _add_products(padded, at, offsets, out, n, outw, sums)
        for i in range(n_lanes):
            for k in range(n_taps):
                gW[(c + i) * n_taps + order[k]] = sums[k * LANES + i]


@inner_arithmetic
def _add_products(padded, at, offsets, gradients, n_rows, n_columns, sums):
    """Add to the sums of each tap, over some rows, gradients times the pixels that it leads to."""
    nothing, one = fill(padded.dtype.type(0)), fill(padded.dtype.type(1))
    for first in range(0, offsets.size, TAPS):
        totals = (nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing)
        totals = add_windows(totals, one, sums, first * LANES, LANES)
        for row in range(n_rows):
            for column in range(n_columns):
                gradient = load(gradients, (row * n_columns + column) * LANES)
                totals = add_taps(totals, gradient, padded, at[0] + row * at[1] + column * at[2], offsets, first)
        store_first(sums, first * LANES, LANES, TAPS, totals)
