"""The transforms of Winograd's convolution F(4x4, 3x3), compiled.

A tile of 4 x 4 outputs needs 6 x 6 inputs. The three transforms below apply a matrix to the columns and to the rows of
every tile: B^T to inputs, A^T to products, A to gradients. A matrix belongs to the points 0, +-P, +-Q and infinity, so
that its rows come in pairs that differ only in the sign of their odd part. Transformed tiles are (6, 6, tiles,
channels): ``LANES`` neighbouring channels are a vector, and the rows of a map are turned so that they are neighbours
before they are transformed, and back afterwards. Tiles are those of all images, image by image and row by row.

Source: Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks", with other points.
"""

import numpy as np

from chainfpn.functions.kernels.numba_common import (
    ZERO,
    arithmetic,
    copy_transposed,
    flat,
    inner_arithmetic,
    inner_exact,
    smaller,
)
from chainfpn.functions.kernels.numba_lanes import LANES, add_scaled, fill, load, store
from chainfpn.functions.kernels.numba_normalize import normalize_line

#: The points: 3/4 and 3/2 lose least of the float32 precision among the fractions tried, five times less than 1 and 2.
P, Q = np.float32(0.75), np.float32(1.5)
_P2, _Q2, _P3, _Q3 = P**2, Q**2, P**3, Q**3
_SUM, _PRODUCT = _P2 + _Q2, _P2 * _Q2
_ONE, _ZERO = np.float32(1), np.float32(0)


@arithmetic
def transform_inputs(room, x, tile_rows, pad, n_rows, n_columns, tiles, begin, end):
    """Compute B^T d B of every tile of some channels and some rows of tiles.

    Args:
        room (tuple of array): float32, six lines of ``4 * n_columns + 2`` vectors, zeros, and six more.
        x (array): float32, (B, C, H, W), at least ``LANES`` channels.
        tile_rows ((int, int)): First, and last exclusive, of those of all images.
        pad ((int, int)): Zeros above and left of the image.
        n_rows, n_columns (int): Tiles of an image in a column and in a row.
        tiles (array): float32, (6, 6, tiles, C), filled for these channels.
        begin, end (int): Channels, at least ``LANES``.
    """
    (top, left), (_, n_channels, height, width) = pad, x.shape
    source, out, line, lanes = flat(x), flat(tiles), (4 * n_columns + 2) * LANES, np.int64(LANES)
    step, n_pixels = tiles.shape[2] * n_channels, smaller(width, line // LANES - left)
    rows, down = room
    for channel in range(begin, end, LANES):
        c, to = smaller(channel, end - lanes), ZERO  # the last ones overlap those before
        for row in range(tile_rows[0], tile_rows[1]):
            first, plane = row % n_rows * 4, row // n_rows * n_channels + c
            for k in range(
                2 if first and row > tile_rows[0] else 0, 6
            ):  # the first two are the last two of the tile above
                place, y = (first + k) % 6 * line, first + k - top
                if 0 <= y < height:
                    copy_transposed(source, (plane * height + y) * width, height * width, lanes, n_pixels, rows,
                                    place + left * LANES, LANES)  # fmt: skip
                else:
                    rows[place : place + line] = 0
            places = _places(first, line)
            for at in range(0, line, LANES):
                _inputs(rows, at, places, down, at, line)
            places = _places(ZERO, lanes)
            for u in range(6):
                for t in range(n_columns):
                    at = u * line + 4 * t * LANES
                    _inputs(down, at, places, out, 6 * u * step + to + t * n_channels + c, step)
            to += n_columns * n_channels


@inner_exact
def _places(first, apart):
    """Return where six lines begin that are ``apart`` and go round: the first of them, the next, and so on."""
    return (
        first % 6 * apart,
        (first + 1) % 6 * apart,
        (first + 2) % 6 * apart,
        (first + 3) % 6 * apart,
        (first + 4) % 6 * apart,
        (first + 5) % 6 * apart,
    )


@inner_arithmetic
def _inputs(source, at, places, out, to, step):
    """Multiply six vectors by B^T, to six vectors ``step`` apart."""
    a0, a1, a2 = load(source, at + places[0]), load(source, at + places[1]), load(source, at + places[2])
    a3, a4, a5 = load(source, at + places[3]), load(source, at + places[4]), load(source, at + places[5])
    even, odd = add_scaled(a4, -_Q2, a2), add_scaled(a3, -_Q2, a1)
    store(out, to, add_scaled(add_scaled(a4, -_SUM, a2), _PRODUCT, a0))
    store(out, to + step, add_scaled(even, P, odd))
    store(out, to + 2 * step, add_scaled(even, -P, odd))
    even, odd = add_scaled(a4, -_P2, a2), add_scaled(a3, -_P2, a1)
    store(out, to + 3 * step, add_scaled(even, Q, odd))
    store(out, to + 4 * step, add_scaled(even, -Q, odd))
    store(out, to + 5 * step, add_scaled(add_scaled(a5, -_SUM, a3), _PRODUCT, a1))


@arithmetic
def transform_products(
    room, tiles, offset, tile_rows, n_rows, n_columns, y, residual, centre, scale, shift, add, relu, begin, end
):
    """Compute A^T m A of every tile of some channels and some rows of tiles, and what follows.

    Args:
        room (tuple of array): float32, 24 vectors, four lines of ``4 * n_columns``, and ``4 * n_columns``.
        tiles (array): float32, (6, 6, tiles, channels), products of these rows of tiles.
        offset (int): The first of the channels that ``tiles`` has.
        tile_rows ((int, int)): First, and last exclusive, of those of all images.
        n_rows, n_columns (int): Tiles of an image in a column and in a row.
        y (array): float32, (B, O, outh, outw), at least ``LANES`` channels, filled for these channels and tiles.
        residual, centre, scale, shift, add, relu: What follows, see ``epilogue``.
        begin, end (int): Channels, at least ``LANES``.
    """
    _, n_channels, height, width = y.shape
    source, out, line, lanes = flat(tiles), flat(y), 4 * n_columns * LANES, np.int64(LANES)
    step, plain, (down, across, turned) = tiles.shape[2] * tiles.shape[3], len(scale) == 0, room
    for channel in range(begin, end, LANES):
        o = smaller(channel, end - lanes)
        at = o - offset
        for row in range(tile_rows[0], tile_rows[1]):
            for t in range(n_columns):
                for v in range(6):
                    _products(source, at + v * step, 6 * step, down, v * LANES, 6 * LANES)
                for k in range(4):
                    _products(down, 6 * k * LANES, lanes, across, k * line + 4 * t * LANES, lanes)
                at += tiles.shape[3]
            image, first = row // n_rows, row % n_rows * 4
            for k in range(smaller(4, height - first)):
                if plain:
                    place = ((image * n_channels + o) * height + first + k) * width
                    copy_transposed(across, k * line, LANES, width, lanes, out, place, height * width)
                    continue
                copy_transposed(across, k * line, LANES, width, lanes, turned, ZERO, width)
                for c in range(o, o + LANES):
                    pixels, target = turned[(c - o) * width : (c - o + 1) * width], y[image, c, first + k]
                    other = residual[image, c, first + k]
                    normalize_line(pixels, other, centre[c], scale[c], shift[c], add, relu, target)


@inner_arithmetic
def _products(source, at, apart, out, to, step):
    """Multiply six vectors, ``apart`` from each other, by A^T, to four vectors ``step`` apart."""
    nothing = fill(_ZERO)
    m1, m2 = load(source, at + apart), load(source, at + 2 * apart)
    m3, m4 = load(source, at + 3 * apart), load(source, at + 4 * apart)
    even_p, odd_p = add_scaled(m1, _ONE, m2), add_scaled(m1, -_ONE, m2)
    even_q, odd_q = add_scaled(m3, _ONE, m4), add_scaled(m3, -_ONE, m4)
    store(out, to, add_scaled(add_scaled(load(source, at), _ONE, even_p), _ONE, even_q))
    store(out, to + step, add_scaled(add_scaled(nothing, P, odd_p), Q, odd_q))
    store(out, to + 2 * step, add_scaled(add_scaled(nothing, _P2, even_p), _Q2, even_q))
    last = add_scaled(load(source, at + 5 * apart), _P3, odd_p)
    store(out, to + 3 * step, add_scaled(last, _Q3, odd_q))


@arithmetic
def transform_gradients(room, gy, tile_rows, n_rows, n_columns, tiles, begin, end):
    """Compute A g A^T of every tile of some channels and some rows of tiles.

    Args:
        room (tuple of array): float32, four lines of ``4 * n_columns`` vectors, zeros, and six.
        gy (array): float32, (B, O, outh, outw), at least ``LANES`` channels.
        tile_rows ((int, int)): First, and last exclusive, of those of all images.
        n_rows, n_columns (int): Tiles of an image in a column and in a row.
        tiles (array): float32, (6, 6, tiles, O), filled for these channels.
        begin, end (int): Channels, at least ``LANES``.
    """
    _, n_channels, height, width = gy.shape
    source, out, line, lanes = flat(gy), flat(tiles), 4 * n_columns * LANES, np.int64(LANES)
    step, (rows, down) = tiles.shape[2] * n_channels, room
    for channel in range(begin, end, LANES):
        o, to = smaller(channel, end - lanes), ZERO
        for row in range(tile_rows[0], tile_rows[1]):
            first, plane = row % n_rows * 4, row // n_rows * n_channels + o
            for k in range(4):
                if first + k < height:
                    at = (plane * height + first + k) * width
                    copy_transposed(source, at, height * width, lanes, width, rows, k * line, LANES)
                else:
                    rows[k * line : (k + 1) * line] = 0
            for at in range(0, line, LANES):
                _gradients(rows, at, line, down, at, line)
            for u in range(6):
                for t in range(n_columns):
                    at = u * line + 4 * t * LANES
                    _gradients(down, at, lanes, out, 6 * u * step + to + t * n_channels + o, step)
            to += n_columns * n_channels


@inner_arithmetic
def _gradients(source, at, apart, out, to, step):
    """Multiply four vectors, ``apart`` from each other, by A, to six vectors ``step`` apart."""
    g0, g1 = load(source, at), load(source, at + apart)
    g2, g3 = load(source, at + 2 * apart), load(source, at + 3 * apart)
    store(out, to, g0)
    even, odd = add_scaled(g0, _P2, g2), add_scaled(g1, _P2, g3)
    store(out, to + step, add_scaled(even, P, odd))
    store(out, to + 2 * step, add_scaled(even, -P, odd))
    even, odd = add_scaled(g0, _Q2, g2), add_scaled(g1, _Q2, g3)
    store(out, to + 3 * step, add_scaled(even, Q, odd))
    store(out, to + 4 * step, add_scaled(even, -Q, odd))
    store(out, to + 5 * step, g3)
