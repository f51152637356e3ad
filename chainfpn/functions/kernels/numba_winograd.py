"""The transforms of Winograd's convolution F(4x4, 3x3), compiled.

A tile of 4 x 4 outputs needs 6 x 6 inputs. The three transforms below apply a matrix to the rows and to the columns of
every tile: B^T to inputs, A^T to products, A to gradients. A matrix belongs to the points 0, +-P, +-Q and infinity, so
that its rows come in pairs that differ only in the sign of their odd part. Transformed tiles are (6, 6, channels,
tiles): neighbouring tiles are neighbours in memory, and every inner loop runs over them and becomes SIMD.

Source: Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks", with other points.
"""

import numpy as np

from chainfpn.functions.kernels.numba_common import ZERO, arithmetic, copy, inner_arithmetic
from chainfpn.functions.kernels.numba_normalize import normalize_line

#: The points: 3/4 and 3/2 lose least of the float32 precision among the fractions tried, five times less than 1 and 2.
P, Q = np.float32(0.75), np.float32(1.5)
_P2, _Q2, _P3, _Q3 = P**2, Q**2, P**3, Q**3
_SUM, _PRODUCT = _P2 + _Q2, _P2 * _Q2


@inner_arithmetic
def _gradients(a0, a1, a2, a3):
    """Multiply four numbers by A."""
    even_p, odd_p, even_q, odd_q = a0 + _P2 * a2, P * a1 + _P3 * a3, a0 + _Q2 * a2, Q * a1 + _Q3 * a3
    return a0, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, a3


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
    top, left = pad
    height, width = min(x.shape[1], 1 << 30), min(x.shape[2], 4 * n_columns + 2 - left)
    rows = np.zeros((6, 1, 4 * n_columns + 4), x.dtype)
    columns = np.empty((4, n_columns + 1), x.dtype)
    c0, c1, c2, c3, c4, c5 = columns[0], columns[1], columns[2], columns[3], columns[0, 1:], columns[1, 1:]
    nothing = np.zeros(x.shape[2], x.dtype)
    for c in range(begin, end):
        plane = x[c]
        for tile_row in range(*tile_rows):
            y = 4 * tile_row - top
            d0 = plane[y] if 0 <= y < height else nothing
            d1 = plane[y + 1] if 0 <= y + 1 < height else nothing
            d2 = plane[y + 2] if 0 <= y + 2 < height else nothing
            d3 = plane[y + 3] if 0 <= y + 3 < height else nothing
            d4 = plane[y + 4] if 0 <= y + 4 < height else nothing
            d5 = plane[y + 5] if 0 <= y + 5 < height else nothing
            _inputs(d0, d1, d2, d3, d4, d5, rows, ZERO, left, width)
            at = (tile_row - tile_rows[0]) * n_columns
            for u in range(6):  # the last two columns are the first two of the next tile
                _deal(rows[u, 0], columns)
                _inputs(c0, c1, c2, c3, c4, c5, tiles[u], c, at, n_columns)


@inner_arithmetic
def _inputs(d0, d1, d2, d3, d4, d5, out, c, at, n):
    """Multiply the first ``n`` numbers of six lines by B^T, to the lines ``out[:, c]`` from ``at`` on."""
    t0, t1, t2 = out[0, c, at : at + n], out[1, c, at : at + n], out[2, c, at : at + n]
    t3, t4, t5 = out[3, c, at : at + n], out[4, c, at : at + n], out[5, c, at : at + n]
    for i in range(n):
        a0, a1, a2, a3, a4, a5 = d0[i], d1[i], d2[i], d3[i], d4[i], d5[i]
        even_p, odd_p = a4 - _Q2 * a2, P * (a3 - _Q2 * a1)
        even_q, odd_q = a4 - _P2 * a2, Q * (a3 - _P2 * a1)
        t0[i], t5[i] = _PRODUCT * a0 - _SUM * a2 + a4, _PRODUCT * a1 - _SUM * a3 + a5
        t1[i], t2[i] = even_p + odd_p, even_p - odd_p
        t3[i], t4[i] = even_q + odd_q, even_q - odd_q


@inner_arithmetic
def _deal(row, columns):
    """Deal a line out to the four positions in a tile."""
    c0, c1, c2, c3 = columns[0], columns[1], columns[2], columns[3]
    for t in range(columns.shape[1]):
        c0[t], c1[t], c2[t], c3[t] = row[4 * t], row[4 * t + 1], row[4 * t + 2], row[4 * t + 3]


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
    rows = np.empty((4, 6, n_columns), y.dtype)
    line = np.empty(4 * n_columns, y.dtype)
    for o in range(begin, end):
        for tile_row in range(*tile_rows):
            at = (tile_row - tile_rows[0]) * n_columns
            for v in range(6):
                _products_down(tiles, v, o, at, rows)
            for k in range(min(4, y.shape[1] - 4 * tile_row)):
                _products_across(rows[k], line)
                target = y[o, 4 * tile_row + k]
                if len(scale) == 0:
                    copy(line, target)
                else:
                    other = residual[o, 4 * tile_row + k]
                    normalize_line(line[: target.size], other, centre[o], scale[o], shift[o], add, relu, target)


@inner_arithmetic
def _products_down(tiles, v, o, at, rows):
    """Apply A^T to the columns ``v`` of a row of tiles."""
    n = rows.shape[2]
    m0, m1, m2 = tiles[0, v, o, at : at + n], tiles[1, v, o, at : at + n], tiles[2, v, o, at : at + n]
    m3, m4, m5 = tiles[3, v, o, at : at + n], tiles[4, v, o, at : at + n], tiles[5, v, o, at : at + n]
    y0, y1, y2, y3 = rows[0, v], rows[1, v], rows[2, v], rows[3, v]
    for t in range(n):
        even_p, odd_p, even_q, odd_q = m1[t] + m2[t], m1[t] - m2[t], m3[t] + m4[t], m3[t] - m4[t]
        y0[t] = m0[t] + even_p + even_q
        y1[t] = P * odd_p + Q * odd_q
        y2[t] = _P2 * even_p + _Q2 * even_q
        y3[t] = _P3 * odd_p + _Q3 * odd_q + m5[t]


@inner_arithmetic
def _products_across(row, line):
    """Apply A^T to a row of tiles: (6, tiles) to pixels."""
    m0, m1, m2, m3, m4, m5 = row[0], row[1], row[2], row[3], row[4], row[5]
    for t in range(m0.size):
        even_p, odd_p, even_q, odd_q = m1[t] + m2[t], m1[t] - m2[t], m3[t] + m4[t], m3[t] - m4[t]
        line[4 * t] = m0[t] + even_p + even_q
        line[4 * t + 1] = P * odd_p + Q * odd_q
        line[4 * t + 2] = _P2 * even_p + _Q2 * even_q
        line[4 * t + 3] = _P3 * odd_p + _Q3 * odd_q + m5[t]


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
    height, width = gy.shape[1:]
    rows = np.zeros((6, 4 * n_columns), gy.dtype)
    columns = np.empty((4, n_columns), gy.dtype)
    nothing = np.zeros(width, gy.dtype)
    for o in range(begin, end):
        for tile_row in range(*tile_rows):
            y = 4 * tile_row
            g1 = gy[o, y + 1] if y + 1 < height else nothing
            g2 = gy[o, y + 2] if y + 2 < height else nothing
            g3 = gy[o, y + 3] if y + 3 < height else nothing
            _gradients_down(gy[o, y], g1, g2, g3, rows)
            at = (tile_row - tile_rows[0]) * n_columns
            for u in range(6):
                _deal(rows[u], columns)
                _gradients_across(columns, tiles[u], o, at)


@inner_arithmetic
def _gradients_down(g0, g1, g2, g3, rows):
    """Apply A to four lines of gradients."""
    t0, t1, t2, t3, t4, t5 = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    for i in range(g0.size):
        t0[i], t1[i], t2[i], t3[i], t4[i], t5[i] = _gradients(g0[i], g1[i], g2[i], g3[i])


@inner_arithmetic
def _gradients_across(columns, tiles, o, at):
    """Apply A to the columns of a row of tiles."""
    n = columns.shape[1]
    g0, g1, g2, g3 = columns[0], columns[1], columns[2], columns[3]
    t0, t1, t2 = tiles[0, o, at : at + n], tiles[1, o, at : at + n], tiles[2, o, at : at + n]
    t3, t4, t5 = tiles[3, o, at : at + n], tiles[4, o, at : at + n], tiles[5, o, at : at + n]
    for t in range(n):
        t0[t], t1[t], t2[t], t3[t], t4[t], t5[t] = _gradients(g0[t], g1[t], g2[t], g3[t])
