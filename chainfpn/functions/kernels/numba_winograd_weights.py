"""The transforms of the weights of Winograd's convolution F(4x4, 3x3) and of their gradients, compiled.

See ``numba_winograd`` for the points. Neighbouring channels become the lanes of a vector. The 36 transformed matrices
lie in the rows of an array that are a little longer than a matrix: one right behind the other, the 36 numbers that
belong together would take each other's places in the cache.
"""

import numpy as np

from chainfpn.functions.kernels.numba_common import ZERO, arithmetic, copy, flat, inner_arithmetic, inner_exact, smaller
from chainfpn.functions.kernels.numba_lanes import LANES, add_scaled, fill, load, store, transpose
from chainfpn.functions.kernels.numba_winograd import P, Q

#: Rows of G: the powers of a point over the product of its distances to the others.
_AT_ZERO, _AT_P, _AT_Q = 1 / (P * Q) ** 2, 1 / (2 * P**2 * (P**2 - Q**2)), 1 / (2 * Q**2 * (Q**2 - P**2))
_P1, _P2, _Q1, _Q2 = P * _AT_P, P**2 * _AT_P, Q * _AT_Q, Q**2 * _AT_Q
_ONE, _NOTHING = np.float32(1), np.float32(0)


@arithmetic
def transform_weights(room, W, turned, columns, weights, begin, end):
    """Compute G w G^T of the weights of some rows and columns of the matrices.

    Args:
        room (tuple of array): float32, 16 vectors, and 18.
        W (array): float32, (O, C, 9).
        turned (bool): Whether the weights are turned by 180 degrees, and the matrices (O, C) instead of (C, O).
        columns ((int, int)): First, and last exclusive; at least ``LANES``.
        weights (array): float32, (36, at least rows times these columns), filled for these rows.
        begin, end (int): Rows of a matrix.
    """
    (_, n_in, n_taps), width = W.shape, columns[1] - columns[0]
    source, out, plane, lanes = flat(W), flat(weights), weights.shape[1], np.int64(LANES)
    row_step, step = (n_in * n_taps, n_taps) if turned else (n_taps, n_in * n_taps)
    taps, down = room
    first, apart = (8 * lanes, -lanes) if turned else (ZERO, lanes)
    for row in range(begin, end):
        for k in range(0, width, LANES):
            column = smaller(k, width - lanes)  # the last ones overlap those before
            _gather(source, row * row_step + (columns[0] + column) * step, step, taps)
            for j in range(3):
                _weights(taps, first + j * apart, 3 * apart, down, j * LANES, 3 * LANES)
            for u in range(6):
                at = 6 * u * plane + row * width + column
                _weights(down, 3 * u * LANES, lanes, out, at, plane)


@inner_exact
def _gather(source, at, step, taps):
    """Copy the nine weights of each lane to nine vectors."""
    if at + (LANES - 1) * step + LANES <= source.size:
        transpose(source, at, step, taps, ZERO, np.int64(LANES))
    else:
        for lane in range(LANES):
            for tap in range(9):
                taps[tap * LANES + lane] = source[at + lane * step + tap]


@inner_arithmetic
def _weights(source, at, apart, out, to, step):
    """Multiply three vectors, ``apart`` from each other, by G, to six vectors ``step`` apart."""
    nothing = fill(_NOTHING)
    w0, w1, w2 = load(source, at), load(source, at + apart), load(source, at + 2 * apart)
    store(out, to, add_scaled(nothing, _AT_ZERO, w0))
    even = add_scaled(add_scaled(nothing, _AT_P, w0), _P2, w2)
    store(out, to + step, add_scaled(even, _P1, w1))
    store(out, to + 2 * step, add_scaled(even, -_P1, w1))
    even = add_scaled(add_scaled(nothing, _AT_Q, w0), _Q2, w2)
    store(out, to + 3 * step, add_scaled(even, _Q1, w1))
    store(out, to + 4 * step, add_scaled(even, -_Q1, w1))
    store(out, to + 5 * step, w2)


@arithmetic
def transform_sums(room, sums, gW, begin, end):
    """Compute G^T s G of the sums of some output channels.

    Args:
        room (tuple of array): float32, 16 vectors, zeros, and 18, and a row of ``gW`` and one more vector.
        sums (array): float32, (36, at least O * C).
        gW (array): float32, (O, C * 9), filled for these channels.
        begin, end (int): Output channels.
    """
    n_columns = gW.shape[1] // 9
    source, plane, lanes, (taps, down, line) = flat(sums), sums.shape[1], np.int64(LANES), room
    for row in range(begin, end):
        for k in range(0, n_columns, LANES):
            column = smaller(k, n_columns - lanes)
            for v in range(6):
                _sums(source, v * plane + row * n_columns + column, 6 * plane, down, v * LANES, 6 * LANES)
            for i in range(3):
                _sums(down, 6 * i * LANES, lanes, taps, 3 * i * LANES, lanes)
            transpose(taps, ZERO, lanes, line, 9 * column, np.int64(9))
        copy(line[: gW.shape[1]], gW[row])


@inner_arithmetic
def _sums(source, at, apart, out, to, step):
    """Multiply six vectors, ``apart`` from each other, by G^T, to three vectors ``step`` apart."""
    nothing = fill(_NOTHING)
    s1, s2 = load(source, at + apart), load(source, at + 2 * apart)
    s3, s4 = load(source, at + 3 * apart), load(source, at + 4 * apart)
    even_p, odd_p = add_scaled(s1, _ONE, s2), add_scaled(s1, -_ONE, s2)
    even_q, odd_q = add_scaled(s3, _ONE, s4), add_scaled(s3, -_ONE, s4)
    first = add_scaled(add_scaled(nothing, _AT_ZERO, load(source, at)), _AT_P, even_p)
    store(out, to, add_scaled(first, _AT_Q, even_q))
    store(out, to + step, add_scaled(add_scaled(nothing, _P1, odd_p), _Q1, odd_q))
    last = add_scaled(add_scaled(load(source, at + 5 * apart), _P2, even_p), _Q2, even_q)
    store(out, to + 2 * step, last)
