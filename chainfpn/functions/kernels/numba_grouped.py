"""Convolution of groups of few channels, or of every channel by itself, compiled: those of MobileNets and RegNets.

Vectors are a pixel of ``LANES`` neighbouring groups. Some rows of a map are turned, with zeros around them, so that a
tap adds pixels times a vector of weights to the sums of ``WINDOWS`` outputs in registers, whatever the stride is, and
however short a row; then the sums are turned back. The gradient of the input is such a convolution of the gradients of
the output, for each place in a stride with the taps that lead there.
"""

import itertools
import math

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import numba_normalize, threads
from chainfpn.functions.kernels.epilogue import Epilogue, nothing
from chainfpn.functions.kernels.grouped_plan import TAPS, WINDOWS, plan_strips
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

#: Bytes of input and output that are a share of the work: of an image, and of a block whose rows are shared.
SHARE_BYTES, BLOCK_BYTES = 3 << 19, 4 << 20


def forward(x: Array, W: Array, y_shape: tuple, geometry: tuple, epilogue: Epilogue) -> Array:
    """Convolve (B, C, H, W) with (O, C / groups, kh, kw) to ``y_shape``, and apply what follows."""
    y = np.empty(y_shape, x.dtype)
    if epilogue.residual is None:
        _run(x, W, y, geometry, epilogue, is_turned=False)
        return y
    _run(x, W, y, geometry, nothing(x.dtype), is_turned=False)
    return numba_normalize.forward(y, epilogue.residual, *epilogue[:3], epilogue.relu)


def input_gradient(gy: Array, W: Array, x_shape: tuple, geometry: tuple) -> Array:
    """Run the transpose of ``forward`` in x: gradients (B, O, outh, outw) to ``x_shape``."""
    gx = np.empty(x_shape, gy.dtype)
    _run(gy, W, gx, geometry, nothing(gy.dtype), is_turned=True)
    return gx


def weight_gradient(x: Array, gy: Array, W_shape: tuple, geometry: tuple) -> Array:
    """Run the transpose of ``forward`` in W: gradients (B, O, outh, outw) to ``W_shape``."""
    plan, (offsets, order), _, sizes = plan_strips(x.shape[1:], W_shape, gy.shape[1:], *geometry, x.itemsize, False)
    blocks, rows = _shares(x, gy, gy.shape[2], geometry[3])
    gW = np.zeros((len(rows), math.prod(W_shape)), x.dtype)
    offsets = np.resize(offsets, -(-len(order) // TAPS) * TAPS)
    given = len(x), x.reshape(-1), gy.reshape(-1)
    tasks = [(*given, gW[k], plan, offsets, order, *block, *rows[k]) for k in range(len(rows)) for block in blocks]
    threads.run(_correlate, tasks, lambda: _room(x.dtype, sizes))
    return gW.sum(axis=0).reshape(W_shape)


def _run(x, W, y, geometry, epilogue, *, is_turned):
    """Compute y, (B, C, outh, outw), from x; threads share images, blocks of groups, and the rows of large maps."""
    plan, (_, order), runs, sizes = plan_strips(x.shape[1:], W.shape, y.shape[1:], *geometry, x.itemsize, is_turned)
    blocks, rows = _shares(x, y, plan[2][4], geometry[3])
    flat, out = (a.reshape(len(a), math.prod(a.shape[1:])) for a in (x, y))
    given = W.reshape(-1), np.concatenate(epilogue[:3]), epilogue.relu, plan, order, *runs, is_turned
    shares = itertools.product(range(len(x)), blocks, rows)
    tasks = [(flat[k], out[k], *given, *block, *part) for k, block, part in shares]
    threads.run(_convolve, tasks, lambda: _room(x.dtype, sizes))


def _shares(x, y, n_rows, groups):
    """Return ranges of blocks of groups, and of rows, that threads share."""
    size, n_blocks = (x.nbytes + y.nbytes) / max(len(x), 1), -(-groups // LANES)
    return threads.cut(n_blocks, size / SHARE_BYTES), threads.cut(n_rows, size / n_blocks / BLOCK_BYTES)


def _room(dtype, sizes):
    """Make what a thread keeps: turned rows with zeros around them, without, and weights or their gradients."""
    room = aligned(sum(sizes), dtype)
    padded, turned = sizes[0], sizes[0] + sizes[1]
    room[:padded] = 0
    return room[:padded], room[padded:turned], room[turned:]


@arithmetic
def _convolve(
    room, x, y, W, terms, relu, plan, order, runs, starts, is_turned, first_block, last_block, first_row, last_row
):
    (groups, n_in, n_out), (height, width, outh, outw), (ly, lx, ty, tx, _), (py, px, reach), blocks = plan
    (line, area, strip, group, turned), (padded, out, weights) = blocks, room
    n_pixels, begin, n_lanes, down = outh * outw, ZERO, smaller(np.int64(LANES), groups), ly * line * LANES
    n_vectors = n_in * order.size
    for block in range(first_block, last_block):
        g = smaller(block * LANES, groups - n_lanes)  # the last ones overlap those before
        _take_weights(W, g, n_lanes, groups, n_in, n_out, is_turned, order, terms, weights)
        for top in range(first_row, last_row, strip):
            end = smaller(top + strip, last_row)
            rows = top * ly - py, (end - top - 1) * ly + reach
            _lay_out(x, g, n_in, n_lanes, height, width, rows, px, line, area, turned, out, padded)
            for row in range(top, end, group):
                n_rows = smaller(group, end - row)
                at = (row - top) * down, down, lx * LANES
                for o in range(n_out):
                    w = o * n_vectors * LANES
                    for phase in range(ty * tx):
                        n = smaller(n_rows, -((phase // tx - outh) // ty) - row), -((phase % tx - outw) // tx)
                        to = (phase // tx * outw + phase % tx) * LANES, ty * outw * LANES, tx * LANES
                        span = n_in, area * LANES, order.size * LANES, starts[phase], starts[phase + 1]
                        _fill(padded, at, weights, w, runs, span, n, out, to)
                    n = smaller(n_rows * ty, outh - row * ty) * outw
                    if terms.size:
                        _finish(out, n, weights, (n_out * n_vectors + 3 * o) * LANES, relu)
                    first, apart = (g * n_out + o) * n_pixels + row * ty * outw, n_out * n_pixels
                    copy_transposed(out, begin, LANES, n, n_lanes, y, first, apart)


@inner_exact
def _take_weights(W, g, n_lanes, groups, n_in, n_out, is_turned, order, terms, weights):
    """Fill a vector for each output of a group, input and tap, and behind them for the terms of each output."""
    n, to = order.size, 0
    for o in range(n_out):
        for i in range(n_in):
            for tap in range(n):
                for k in range(n_lanes):
                    weights[to + k] = W[_kernel(g + k, i, o, n_in, n_out, is_turned) * n + order[tap]]
                to += LANES
    for o in range(n_out if terms.size else 0):
        for term in range(3):
            for k in range(n_lanes):
                weights[to + k] = terms[(term * groups + g + k) * n_out + o]
            to += LANES


@inner_exact
def _kernel(g, i, o, n_in, n_out, is_turned):
    """Return the number of the kernel that leads from an input of a group to an output."""
    return g * n_in * n_out + (i * n_out + o if is_turned else o * n_in + i)


@inner_exact
def _lay_out(x, g, n_in, n_lanes, height, width, rows, left, line, area, n_turned, turned, padded):
    """Turn rows of groups, (group, input, row, column), to (input, row, column, lane) with zeros around the map."""
    n_pixels, begin, nothing = height * width, ZERO, fill(padded.dtype.type(0))
    first, last = larger(left, 0), smaller(line, left + width)
    low, high = larger(rows[0], 0), smaller(rows[0] + rows[1], height)
    for i in range(n_in):
        for row in range(rows[1]):
            for k in range(0 if low <= rows[0] + row < high else line):
                store(padded, (i * area + row * line + k) * LANES, nothing)
        for row in range(low, high, n_turned):
            n, place = smaller(n_turned, high - row), (g * n_in + i) * n_pixels + row * width
            copy_transposed(x, place, n_in * n_pixels, n_lanes, n * width, turned, begin, LANES)
            for k in range(n):
                to, at = i * area + (row + k - rows[0]) * line, k * width - left
                for column in range(first, last):
                    store(padded, (to + column) * LANES, load(turned, (at + column) * LANES))


@inner_arithmetic
def _fill(padded, at, weights, w, runs, span, n, out, to):
    """Compute rows and columns of outputs; they and what they are made of begin somewhere, and have two steps."""
    nothing, (n_in, area, n_weights, first, last) = fill(padded.dtype.type(0)), span
    for row in range(n[0]):
        for column in range(0, n[1], WINDOWS):
            sums = (nothing, nothing, nothing, nothing, nothing, nothing, nothing)
            for i in range(n_in):
                place = at[0] + row * at[1] + column * at[2] + i * area
                for k in range(first, last):
                    pixel, tap, count = place + runs[k, 0], w + i * n_weights + runs[k, 1], runs[k, 2]
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
    (groups, n_in, n_out), (height, width, outh, outw), (ly, lx, _, _, _), (py, px, reach), blocks = plan
    (line, area, strip, group, turned), (padded, out, sums) = blocks, room
    n_pixels, begin, n_lanes, down = outh * outw, ZERO, smaller(np.int64(LANES), groups), ly * line * LANES
    for block in range(first_block, last_block):
        g = smaller(block * LANES, groups - n_lanes)  # the last ones overlap those before
        for k in range(sums.size):
            sums[k] = 0
        for image in range(n_images):
            first = image * groups + g
            for top in range(first_row, last_row, strip):
                end = smaller(top + strip, last_row)
                rows = top * ly - py, (end - top - 1) * ly + reach
                _lay_out(x, first, n_in, n_lanes, height, width, rows, px, line, area, turned, out, padded)
                for row in range(top, end, group):
                    n = smaller(group, end - row)
                    for o in range(n_out):
                        place, apart = (first * n_out + o) * n_pixels + row * outw, n_out * n_pixels
                        copy_transposed(gy, place, apart, n_lanes, n * outw, out, begin, LANES)
                        for i in range(n_in):
                            at = ((row - top) * ly * line + i * area) * LANES, down, lx * LANES
                            to = (o * n_in + i) * offsets.size * LANES
                            _add_products(padded, at, offsets, out, n, outw, sums, to)
        for k in range(n_lanes):
            for kernel in range(n_in * n_out):
                for tap in range(order.size):
                    to = ((g + k) * n_in * n_out + kernel) * order.size + order[tap]
                    gW[to] = sums[(kernel * offsets.size + tap) * LANES + k]


@inner_arithmetic
def _add_products(padded, at, offsets, gradients, n_rows, n_columns, sums, to):
    """Add to the sums of each tap, over some rows, gradients times the pixels that it leads to."""
    nothing, one = fill(padded.dtype.type(0)), fill(padded.dtype.type(1))
    for first in range(0, offsets.size, TAPS):
        totals = (nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing)
        totals = add_windows(totals, one, sums, to + first * LANES, LANES)
        for row in range(n_rows):
            for column in range(n_columns):
                gradient = load(gradients, (row * n_columns + column) * LANES)
                totals = add_taps(totals, gradient, padded, at[0] + row * at[1] + column * at[2], offsets, first)
        store_first(sums, to + first * LANES, LANES, TAPS, totals)
