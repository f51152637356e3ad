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
    if kh == kw == 1:
        for c in range(n_channels):
            _copy_pixels(source[c], begin, stride, pad, columns[c, 0, 0], True)
        return
    out, n, to = columns.reshape(-1), np.uint64(outw), np.uint64(0)
    shape = stride[1], (n_rows - 1) * stride[0] + (kh - 1) * dilate[0] + 1, outw + (kw - 1) * dilate[1] // stride[1]
    phases = np.zeros(shape, source.dtype)
    flat = phases.reshape(-1)
    for c in range(n_channels):
        _copy_plane(source[c], begin * stride[0] - pad[0], pad[1], phases, True)
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
    if kh == kw == 1:
        for c in range(n_channels):
            _copy_pixels(target[c], begin, stride, pad, columns[c, 0, 0], False)
        return
    given, n, source = columns.reshape(-1), np.uint64(outw), np.uint64(0)
    shape = stride[1], (n_rows - 1) * stride[0] + (kh - 1) * dilate[0] + 1, outw + (kw - 1) * dilate[1] // stride[1]
    phases = np.empty(shape, target.dtype)
    flat = phases.reshape(-1)
    for c in range(n_channels):
        for k in range(flat.size):
            flat[k] = 0
        for i in range(kh):
            for j in range(kw):
                for row in range(n_rows):
                    at = _place(i * dilate[0] + row * stride[0], j * dilate[1], shape)
                    for k in range(n):
                        flat[at + k] += given[source + k]
                    source += n
        _copy_plane(target[c], begin * stride[0] - pad[0], pad[1], phases, False)


@inner_exact
def _place(row, column, shape):
    """Return where a pixel lies in the buffer."""
    return np.uint64((column % shape[0] * shape[1] + row) * shape[2] + column // shape[0])


@inner_exact
def _copy_plane(plane, top, left, phases, inwards):
    """Copy rows of a plane from ``top`` on into the buffer, or add those of the buffer to the plane."""
    step, n_rows, n_columns = phases.shape
    for phase in range(step):
        low, high = _find_inside(n_columns, phase - left, step, plane.shape[1])
        first = low * step + phase - left
        for row in range(max(0, -top), min(n_rows, plane.shape[0] - top)):
            _copy_line(plane[top + row, first:], step, phases[phase, row, low:high], inwards)


@inner_exact
def _copy_pixels(plane, begin, stride, pad, pixels, inwards):
    """Copy the pixels that a stride leads to, with zeros around the plane, or add to them."""
    low, high = _find_inside(pixels.shape[1], -pad[1], stride[1], plane.shape[1])
    for row in range(pixels.shape[0]):
        y = (begin + row) * stride[0] - pad[0]
        is_inside = 0 <= y < plane.shape[0] and low < high
        if inwards and not (is_inside and high - low == pixels.shape[1]):
            for k in range(pixels.shape[1]):
                pixels[row, k] = 0
        if is_inside:
            _copy_line(plane[y, low * stride[1] - pad[1] :], stride[1], pixels[row, low:high], inwards)


@inner_exact
def _copy_line(line, step, part, inwards):
    """Copy every ``step``-th pixel of a line to a part of another, or add to those pixels."""
    if not inwards:
        for k in range(part.size):
            line[step * k] += part[k]
    elif step == 1:
        for k in range(part.size):
            part[k] = line[k]
    elif step == 2:
        for k in range(part.size):
            part[k] = line[2 * k]
    else:
        for k in range(part.size):
            part[k] = line[step * k]
