"""The transforms of Winograd's convolution F(4x4, 3x3), compiled.

A tile of 4 x 4 outputs needs 6 x 6 inputs. The three transforms below apply a matrix to the rows and to the columns of
every tile: B^T to inputs, A^T to products, A to gradients. A matrix belongs to the points 0, +-P, +-Q and infinity, so
that its rows come in pairs that differ only in the sign of their odd part. Transformed tiles are (6, 6, channels,
tiles): neighbouring tiles are neighbours in memory, and every inner loop runs over them and becomes SIMD.

Source: Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks", with other points.
"""

import numpy as np

from chainfpn.functions.kernels.numba_common import ZERO, arithmetic, copy, inner_arithmetic, inner_exact
from chainfpn.functions.kernels.numba_lanes import LANES, add_scaled, deal, fill, load, store, weave
from chainfpn.functions.kernels.numba_normalize import normalize_line

#: The points: 3/4 and 3/2 lose least of the float32 precision among the fractions tried, five times less than 1 and 2.
P, Q = np.float32(0.75), np.float32(1.5)
_P2, _Q2, _P3, _Q3 = P**2, Q**2, P**3, Q**3
_SUM, _PRODUCT = _P2 + _Q2, _P2 * _Q2


#: Tiles of a channel that are transformed together, whole rows of them: they stay in the innermost cache.
TILES = 128
_ONE, _ZERO = np.float32(1), np.float32(0)


@arithmetic
def transform_inputs(x, tile_rows, pad, n_columns, tiles, begin, end):
    """Compute B^T d B of every tile of some channels and some rows of tiles.

    Args:
        x (array): float32, (C, H, W), one image.
        tile_rows ((int, int)): First, and last exclusive.
        pad ((int, int)): Zeros above and left of the image.
        n_columns (int): Tiles in a row.
        tiles (array): float32, (6, 6, C, tiles), filled for these channels.
        begin, end (int): Channels.
    """
    (top, left), (_, height, width) = pad, x.shape
    most, flat, out = max(1, TILES // n_columns), x.reshape(-1), tiles.reshape(-1)
    apart, step = (most + 1) * n_columns + LANES, tiles.shape[2] * tiles.shape[3]
    line, blank = _lines(n_columns, x.dtype)
    dealt, down, few = np.empty(24 * apart, x.dtype), np.empty(36 * apart, x.dtype), np.empty(6 * LANES, x.dtype)
    for c in range(begin, end):
        for row in range(tile_rows[0], tile_rows[1], most):
            n_rows = min(most, tile_rows[1] - row)
            for k in range(4 * n_rows + 2):
                y = 4 * row + k - top
                if 0 <= y < height:
                    _copy_row(flat, (c * height + y) * width, line, left, min(width, 4 * n_columns + 2 - left))
                _deal_inputs(line if 0 <= y < height else blank, dealt, 6 * (k % 4) * apart + k // 4 * n_columns,
                             apart, n_columns)  # fmt: skip
            n = n_rows * n_columns
            for j in range(6):  # the last two rows of a tile are the first two of the one below
                _inputs(dealt, j * apart, 6 * apart, n_columns, down, j * apart, 6 * apart, n)
            for u in range(6):
                at = 6 * u * step + c * tiles.shape[3] + (row - tile_rows[0]) * n_columns
                if n >= LANES:
                    _inputs(down, 6 * u * apart, apart, -1, out, at, step, n)
                else:
                    _inputs(down, 6 * u * apart, apart, -1, few, ZERO, np.int64(LANES), n)
                    _spread(few, out, at, step, n)


@inner_exact
def _lines(n_columns, dtype):
    """Return room for a line of pixels with zeros around it, and zeros."""
    return np.zeros(4 * n_columns + 5 * LANES, dtype), np.zeros(4 * n_columns + 5 * LANES, dtype)


@inner_exact
def _copy_row(flat, at, line, to, width):
    """Copy a row of pixels into a line."""
    if width >= LANES:
        for k in range(0, width, LANES):
            place = min(k, width - LANES)  # the last ones overlap those before
            store(line, to + place, load(flat, at + place))
    else:
        for k in range(width):
            line[to + k] = flat[at + k]


@inner_exact
def _spread(few, out, at, step, n):
    """Copy six short lines to where they belong."""
    for v in range(6):
        for k in range(n):
            out[at + v * step + k] = few[v * LANES + k]


@inner_exact
def _deal_inputs(line, dealt, at, apart, n):
    """Deal a line out to the six positions in a tile; what is behind it will be overwritten."""
    for t in range(0, n, LANES):
        a, b, c, d = deal(line, 4 * t)
        e, f, _, _ = deal(line, 4 * t + 4)
        store(dealt, at + t, a)
        store(dealt, at + apart + t, b)
        store(dealt, at + 2 * apart + t, c)
        store(dealt, at + 3 * apart + t, d)
        store(dealt, at + 4 * apart + t, e)
        store(dealt, at + 5 * apart + t, f)


@inner_arithmetic
def _inputs(source, at, apart, below, out, to, step, n):
    """Multiply six lines of ``n`` numbers by B^T, to six lines ``step`` apart.

    The lines are ``apart`` from each other; the last two are the first two from ``below`` on unless that is negative.
    """
    last = at + below if below >= 0 else at + 4 * apart
    for first in range(0, n, LANES):
        k = min(first, max(n - LANES, 0))
        a0, a1, a2 = load(source, at + k), load(source, at + apart + k), load(source, at + 2 * apart + k)
        a3, a4, a5 = load(source, at + 3 * apart + k), load(source, last + k), load(source, last + apart + k)
        even, odd = add_scaled(a4, -_Q2, a2), add_scaled(a3, -_Q2, a1)
        store(out, to + k, add_scaled(add_scaled(a4, -_SUM, a2), _PRODUCT, a0))
        store(out, to + step + k, add_scaled(even, P, odd))
        store(out, to + 2 * step + k, add_scaled(even, -P, odd))
        even, odd = add_scaled(a4, -_P2, a2), add_scaled(a3, -_P2, a1)
        store(out, to + 3 * step + k, add_scaled(even, Q, odd))
        store(out, to + 4 * step + k, add_scaled(even, -Q, odd))
        store(out, to + 5 * step + k, add_scaled(add_scaled(a5, -_SUM, a3), _PRODUCT, a1))


@arithmetic
def transform_products(tiles, tile_rows, n_columns, y, residual, centre, scale, shift, add, relu, begin, end):
    """Compute A^T m A of every tile of some channels and some rows of tiles, and what follows.

    Args:
        tiles (array): float32, (6, 6, O, tiles), products of these rows of tiles.
        tile_rows ((int, int)): First, and last exclusive.
        n_columns (int): Tiles in a row.
        y (array): float32, (O, outh, outw), filled for these channels and tiles.
        residual, centre, scale, shift, add, relu: What follows, see ``epilogue``.
        begin, end (int): Channels.
    """
    most, source = max(1, TILES // n_columns), tiles.reshape(-1)
    apart, step = most * n_columns + LANES, tiles.shape[2] * tiles.shape[3]
    down, across, few = np.empty(24 * apart, y.dtype), np.empty(16 * apart, y.dtype), np.zeros(6 * LANES, y.dtype)
    line, _ = _lines(n_columns, y.dtype)
    for o in range(begin, end):
        for row in range(tile_rows[0], tile_rows[1], most):
            n_rows = min(most, tile_rows[1] - row)
            n = n_rows * n_columns
            for v in range(6):
                at = v * step + o * tiles.shape[3] + (row - tile_rows[0]) * n_columns
                if n >= LANES:
                    _products(source, at, 6 * step, down, v * apart, 6 * apart, n)
                else:
                    for u in range(6):
                        for k in range(n):
                            few[u * LANES + k] = source[at + 6 * u * step + k]
                    _products(few, ZERO, np.int64(LANES), down, v * apart, 6 * apart, n)
            for k in range(4):
                _products(down, 6 * k * apart, apart, across, 4 * k * apart, apart, n)
            for k in range(min(4 * n_rows, y.shape[1] - 4 * row)):
                _weave_line(across, 4 * (k % 4) * apart + k // 4 * n_columns, apart, line, n_columns)
                target, other = y[o, 4 * row + k], residual[o, 4 * row + k]
                if len(scale) == 0:
                    copy(line, target)
                else:
                    normalize_line(line[: target.size], other, centre[o], scale[o], shift[o], add, relu, target)


@inner_arithmetic
def _products(source, at, apart, out, to, step, n):
    """Multiply six lines of ``n`` numbers, ``apart`` from each other, by A^T, to four lines ``step`` apart."""
    nothing = fill(_ZERO)
    for first in range(0, n, LANES):
        k = min(first, max(n - LANES, 0))
        m0, m1, m2 = load(source, at + k), load(source, at + apart + k), load(source, at + 2 * apart + k)
        m3, m4 = load(source, at + 3 * apart + k), load(source, at + 4 * apart + k)
        even_p, odd_p = add_scaled(m1, _ONE, m2), add_scaled(m1, -_ONE, m2)
        even_q, odd_q = add_scaled(m3, _ONE, m4), add_scaled(m3, -_ONE, m4)
        store(out, to + k, add_scaled(add_scaled(m0, _ONE, even_p), _ONE, even_q))
        store(out, to + step + k, add_scaled(add_scaled(nothing, P, odd_p), Q, odd_q))
        store(out, to + 2 * step + k, add_scaled(add_scaled(nothing, _P2, even_p), _Q2, even_q))
        m5 = load(source, at + 5 * apart + k)
        store(out, to + 3 * step + k, add_scaled(add_scaled(m5, _P3, odd_p), _Q3, odd_q))


@inner_exact
def _weave_line(across, at, apart, line, n):
    """Put together a line of pixels from the four positions in a tile."""
    for t in range(0, n, LANES):
        y0, y1 = load(across, at + t), load(across, at + apart + t)
        weave(line, 4 * t, y0, y1, load(across, at + 2 * apart + t), load(across, at + 3 * apart + t))


@arithmetic
def transform_gradients(gy, tile_rows, n_columns, tiles, begin, end):
    """Compute A g A^T of every tile of some channels and some rows of tiles.

    Args:
        gy (array): float32, (O, outh, outw), gradients of one image.
        tile_rows ((int, int)): First, and last exclusive.
        n_columns (int): Tiles in a row.
        tiles (array): float32, (6, 6, O, tiles), filled for these channels.
        begin, end (int): Channels.
    """
    _, height, width = gy.shape
    most, flat, out = max(1, TILES // n_columns), gy.reshape(-1), tiles.reshape(-1)
    apart, step = most * n_columns + LANES, tiles.shape[2] * tiles.shape[3]
    line, blank = _lines(n_columns, gy.dtype)
    dealt, down, few = np.empty(16 * apart, gy.dtype), np.empty(24 * apart, gy.dtype), np.empty(6 * LANES, gy.dtype)
    for o in range(begin, end):
        for row in range(tile_rows[0], tile_rows[1], most):
            n_rows = min(most, tile_rows[1] - row)
            for k in range(4 * n_rows):
                y = 4 * row + k
                if y < height:
                    _copy_row(flat, (o * height + y) * width, line, ZERO, width)
                _deal_gradients(line if y < height else blank, dealt, 4 * (k % 4) * apart + k // 4 * n_columns,
                                apart, n_columns)  # fmt: skip
            n = n_rows * n_columns
            for j in range(4):
                _gradients(dealt, j * apart, 4 * apart, down, j * apart, 4 * apart, n)
            for u in range(6):
                at = 6 * u * step + o * tiles.shape[3] + (row - tile_rows[0]) * n_columns
                if n >= LANES:
                    _gradients(down, 4 * u * apart, apart, out, at, step, n)
                else:
                    _gradients(down, 4 * u * apart, apart, few, ZERO, np.int64(LANES), n)
                    _spread(few, out, at, step, n)


@inner_exact
def _deal_gradients(line, dealt, at, apart, n):
    """Deal a line out to the four positions in a tile; what is behind it will be overwritten."""
    for t in range(0, n, LANES):
        a, b, c, d = deal(line, 4 * t)
        store(dealt, at + t, a)
        store(dealt, at + apart + t, b)
        store(dealt, at + 2 * apart + t, c)
        store(dealt, at + 3 * apart + t, d)


@inner_arithmetic
def _gradients(source, at, apart, out, to, step, n):
    """Multiply four lines of ``n`` numbers, ``apart`` from each other, by A, to six lines ``step`` apart."""
    for first in range(0, n, LANES):
        k = min(first, max(n - LANES, 0))
        g0, g1 = load(source, at + k), load(source, at + apart + k)
        g2, g3 = load(source, at + 2 * apart + k), load(source, at + 3 * apart + k)
        store(out, to + k, g0)
        even, odd = add_scaled(g0, _P2, g2), add_scaled(g1, _P2, g3)
        store(out, to + step + k, add_scaled(even, P, odd))
        store(out, to + 2 * step + k, add_scaled(even, -P, odd))
        even, odd = add_scaled(g0, _Q2, g2), add_scaled(g1, _Q2, g3)
        store(out, to + 3 * step + k, add_scaled(even, Q, odd))
        store(out, to + 4 * step + k, add_scaled(even, -Q, odd))
        store(out, to + 5 * step + k, g3)
