"""The windows of a convolution as columns of a matrix, and back, compiled: see ``columns``.

The pixels of a channel that some output rows read lie in a buffer with the zeros around them, (phase, row, column):
pixels that a stride leads to are neighbours there. So every tap of the windows is a run of neighbours in a row.
"""

import numpy as np

from chainfpn.functions.kernels.columns import find_inside
from chainfpn.functions.kernels.numba_common import exact, inner_exact

_find_inside = inner_exact(find_inside)


@exact
def lay_out(source, begin, stride, pad, dilate, columns):
    """Copy the windows of output rows from ``begin`` on, with zeros around the map: see ``columns.lay_out``."""
    n_channels, kh, kw, n_rows, outw = columns.shape
    pixels, size, out = source.reshape(-1), source.shape[1:], columns.reshape(-1)
    n_pixels, n, to = size[0] * size[1], np.uint64(outw), np.uint64(0)
    if kh == kw == 1:
        for c in range(n_channels):
            _copy_pixels(pixels, c * n_pixels, size, begin, stride, pad, out, c * n_rows * outw, (n_rows, outw), True)
        return
    shape, flat = _room(columns, stride, dilate)
    for c in range(n_channels):
        _copy_plane(pixels, c * n_pixels, size, begin * stride[0] - pad[0], pad[1], flat, shape, True)
        for i in range(kh):
            for j in range(kw):
                for row in range(n_rows):
                    at = _place(i * dilate[0] + row * stride[0], j * dilate[1], shape)
                    for k in range(n):
                        out[to + k] = flat[at + k]
                    to += n


@exact
def fold(target, begin, stride, pad, dilate, columns):
    """Add windows to the pixels they were laid out from: see ``columns.fold``."""
    n_channels, kh, kw, n_rows, outw = columns.shape
    pixels, size, given = target.reshape(-1), target.shape[1:], columns.reshape(-1)
    n_pixels, n, source = size[0] * size[1], np.uint64(outw), np.uint64(0)
    if kh == kw == 1:
        for c in range(n_channels):
            _copy_pixels(
                pixels, c * n_pixels, size, begin, stride, pad, given, c * n_rows * outw, (n_rows, outw), False
            )
        return
    shape, flat = _room(columns, stride, dilate)
    for c in range(n_channels):
        flat[:] = 0
        for i in range(kh):
            for j in range(kw):
                for row in range(n_rows):
                    at = _place(i * dilate[0] + row * stride[0], j * dilate[1], shape)
                    for k in range(n):
                        flat[at + k] += given[source + k]
                    source += n
        _copy_plane(pixels, c * n_pixels, size, begin * stride[0] - pad[0], pad[1], flat, shape, False)


@inner_exact
def _place(row, column, shape):
    """Return where a pixel lies in the buffer."""
    return np.uint64((column % shape[0] * shape[1] + row) * shape[2] + column // shape[0])


@inner_exact
def _room(columns, stride, dilate):
    """Return the shape of the buffer, and zeros as many."""
    _, kh, kw, n_rows, outw = columns.shape
    shape = stride[1], (n_rows - 1) * stride[0] + (kh - 1) * dilate[0] + 1, outw + (kw - 1) * dilate[1] // stride[1]
    return shape, np.zeros(shape[0] * shape[1] * shape[2], columns.dtype)


@inner_exact
def _copy_plane(flat, at, size, top, left, buffer, shape, inwards):
    """Copy rows from ``top`` on of the plane at ``at`` into the buffer, or add those of the buffer to it."""
    step, n_rows, n_columns = shape
    for phase in range(step):
        low, high = _find_inside(n_columns, phase - left, step, size[1])
        first = at + low * step + phase - left
        for row in range(max(0, -top), min(n_rows, size[0] - top)):
            place = (phase * n_rows + row) * n_columns + low
            _copy_line(flat, first + (top + row) * size[1], step, buffer, place, high - low, inwards)


@inner_exact
def _copy_pixels(flat, at, size, begin, stride, pad, pixels, to, shape, inwards):
    """Copy the pixels of a plane that a stride leads to, with zeros around the plane, or add to them."""
    low, high = _find_inside(shape[1], -pad[1], stride[1], size[1])
    for row in range(shape[0]):
        y = (begin + row) * stride[0] - pad[0]
        is_inside = 0 <= y < size[0] and low < high
        place = to + row * shape[1]
        if inwards and not (is_inside and high - low == shape[1]):
            pixels[place : place + shape[1]] = 0
        if is_inside:
            first = at + y * size[1] + low * stride[1] - pad[1]
            _copy_line(flat, first, stride[1], pixels, place + low, high - low, inwards)


@inner_exact
def _copy_line(flat, at, step, part, to, n, inwards):
    """Copy every ``step``-th number from ``at`` on to ``part[to:]``, or add that to them."""
    at, step, to, two = np.uint64(at), np.uint64(step), np.uint64(to), np.uint64(2)  # signed ones might count backwards
    if not inwards:
        for k in range(np.uint64(n)):
            flat[at + step * k] += part[to + k]
    elif step == 1:
        for k in range(np.uint64(n)):
            part[to + k] = flat[at + k]
    elif step == 2:
        for k in range(np.uint64(n)):
            part[to + k] = flat[at + two * k]
    else:
        for k in range(np.uint64(n)):
            part[to + k] = flat[at + step * k]
