"""The windows of a convolution as columns of a matrix, and back, compiled: see ``columns``.

The pixels of a channel that some output rows read lie in a buffer with the zeros around them, (phase, row, column):
pixels that a stride leads to are neighbours there. So every tap of the windows is a run of neighbours in a row.
"""

import math

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels.numba_common import exact, inner_exact, larger, smaller


@inner_exact
def _find_inside(n, first, step, size):
    """Return what ``columns.find_inside`` does."""
    begin = smaller(larger(0, -(first // step)), n)
    return begin, larger(begin, smaller(n, -((first - size) // step)))


def lay_out(source: Array, begin: int, stride: Size, pad: Size, dilate: Size, columns: Array) -> None:
    """Copy the windows of output rows from ``begin`` on, with zeros around the map: see ``columns.lay_out``."""
    _lay_out(*_arrays(source, stride, dilate, columns), begin, stride, pad, dilate)


def fold(target: Array, begin: int, stride: Size, pad: Size, dilate: Size, columns: Array) -> None:
    """Add windows to the pixels they were laid out from: see ``columns.fold``."""
    _fold(*_arrays(target, stride, dilate, columns), begin, stride, pad, dilate)


def _arrays(pixels, stride, dilate, columns):
    """Return the numbers of a map, of columns, and of the buffer, zeros, each with the shape that they are of."""
    _, kh, kw, n_rows, outw = columns.shape
    shape = stride[1], (n_rows - 1) * stride[0] + (kh - 1) * dilate[0] + 1, outw + (kw - 1) * dilate[1] // stride[1]
    buffer = np.zeros(0 if kh == kw == 1 else math.prod(shape), columns.dtype)
    return pixels.reshape(-1), pixels.shape[1:], columns.reshape(-1), columns.shape, buffer, shape


@exact
def _lay_out(pixels, size, out, windows, buffer, shape, begin, stride, pad, dilate):
    n_channels, kh, kw, n_rows, outw = windows
    n_pixels, n, to = size[0] * size[1], np.uint64(outw), np.uint64(0)
    if kh == kw == 1:
        for c in range(n_channels):
            _copy_pixels(pixels, c * n_pixels, size, begin, stride, pad, out, c * n_rows * outw, (n_rows, outw), True)
        return
    for c in range(n_channels):
        _copy_plane(pixels, c * n_pixels, size, begin * stride[0] - pad[0], pad[1], buffer, shape, True)
        for i in range(kh):
            for j in range(kw):
                for row in range(n_rows):
                    at = _place(i * dilate[0] + row * stride[0], j * dilate[1], shape)
                    for k in range(n):
                        out[to + k] = buffer[at + k]
                    to += n


@exact
def _fold(pixels, size, given, windows, buffer, shape, begin, stride, pad, dilate):
    n_channels, kh, kw, n_rows, outw = windows
    n_pixels, n, at = size[0] * size[1], np.uint64(outw), np.uint64(0)
    if kh == kw == 1:
        for c in range(n_channels):
            _copy_pixels(
                pixels, c * n_pixels, size, begin, stride, pad, given, c * n_rows * outw, (n_rows, outw), False
            )
        return
    for c in range(n_channels):
        buffer[:] = 0
        for i in range(kh):
            for j in range(kw):
                for row in range(n_rows):
                    to = _place(i * dilate[0] + row * stride[0], j * dilate[1], shape)
                    for k in range(n):
                        buffer[to + k] += given[at + k]
                    at += n
        _copy_plane(pixels, c * n_pixels, size, begin * stride[0] - pad[0], pad[1], buffer, shape, False)


@inner_exact
def _place(row, column, shape):
    """Return where a pixel lies in the buffer."""
    return np.uint64((column % shape[0] * shape[1] + row) * shape[2] + column // shape[0])


@inner_exact
def _copy_plane(pixels, at, size, top, left, buffer, shape, inwards):
    """Copy rows from ``top`` on of the plane at ``at`` into the buffer, or add those of the buffer to it."""
    step, n_rows, n_columns = shape
    for phase in range(step):
        low, high = _find_inside(n_columns, phase - left, step, size[1])
        first = at + low * step + phase - left
        for row in range(larger(0, -top), smaller(n_rows, size[0] - top)):
            place = (phase * n_rows + row) * n_columns + low
            _copy_line(pixels, first + (top + row) * size[1], step, buffer, place, high - low, inwards)


@inner_exact
def _copy_pixels(pixels, at, size, begin, stride, pad, columns, to, shape, inwards):
    """Copy the pixels of a plane that a stride leads to, with zeros around the plane, or add to them."""
    low, high = _find_inside(shape[1], -pad[1], stride[1], size[1])
    for row in range(shape[0]):
        y = (begin + row) * stride[0] - pad[0]
        is_inside = 0 <= y < size[0] and low < high
        place = to + row * shape[1]
        if inwards and not (is_inside and high - low == shape[1]):
            columns[place : place + shape[1]] = 0
        if is_inside:
            first = at + y * size[1] + low * stride[1] - pad[1]
            _copy_line(pixels, first, stride[1], columns, place + low, high - low, inwards)


@inner_exact
def _copy_line(line, at, step, part, to, n, inwards):
    """Copy every ``step``-th number from ``at`` on to ``part[to:]``, or add that to them."""
    at, step, to, two = np.uint64(at), np.uint64(step), np.uint64(to), np.uint64(2)  # signed ones might count backwards
    if not inwards:
        for k in range(np.uint64(n)):
            line[at + step * k] += part[to + k]
    elif step == 1:
        for k in range(np.uint64(n)):
            part[to + k] = line[at + k]
    elif step == 2:
        for k in range(np.uint64(n)):
            part[to + k] = line[at + two * k]
    else:
        for k in range(np.uint64(n)):
            part[to + k] = line[at + step * k]
