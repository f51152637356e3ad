"""Maxima over windows of whole pixels for the CPU, compiled by Numba."""

import numpy as np

from chainfpn.functions.kernels.numba_common import exact, inner_exact, pack, unpack_bins
from chainfpn.functions.kernels.numba_lanes import LANES, add_scaled, choose, fill, is_larger, load, store

#: Above the place of any pixel.
NOWHERE = 2**31 - 1


@exact
def forward(workspace, x, first, window, members, windows, lowest, y, argmax):
    """Take the maximum of each window for one image and one block of channels.

    The maximum over rows comes first, for every column of the RoI at once; ties keep the first pixel in row order.

    Args:
        workspace, x, first, window, members: See ``numba_align.align_forward``.
        windows (geometry.Windows): The bins of each RoI.
        lowest (float): What a value must exceed to be found; the maximum where none does.
        y (array): (R', C, outh * outw), receives the maxima; 0 for an empty window.
        argmax (array or None): int32, like ``y``, receives ``row * W + column``, -1 where nothing was found.
    """
    rows, columns = windows
    outh, outw = rows.shape[1], columns.shape[1]
    y0, _, x0, x1 = window
    stride = (x1 - x0) * LANES
    buffer, line, cells = workspace.buffer, workspace.line, workspace.cells
    places, found = workspace.line_places, workspace.places
    pack(x, first, window, buffer)
    for r in members:
        left, right = columns[r, 0, 0], columns[r, outw - 1, 1]
        corner = (left - x0) * LANES - y0 * stride, right - left
        for i in range(outh):
            top, bottom = rows[r, i, 0], max(rows[r, i, 0], rows[r, i, 1])
            line[: (right - left) * LANES] = lowest
            whole = bottom - (bottom - top) % 4
            for row in range(top, whole, 4):
                four = row, row + 1, row + 2, row + 3
                _keep_larger(buffer, stride, corner, four, x.shape[2], line, places, argmax)
            for row in range(whole, bottom):
                _keep_larger(buffer, stride, corner, (row,), x.shape[2], line, places, argmax)
            for j in range(outw):
                begin = columns[r, j, 0] - left
                end = columns[r, j, 1] - left if bottom > top else begin
                best = fill(lowest)
                for column in range(begin, end):
                    best = _larger(load(line, column * LANES), best)
                store(cells, (i * outw + j) * LANES, best if begin < end else fill(x.dtype.type(0)))
                if argmax is not None:
                    store(
                        found, (i * outw + j) * LANES, _first_place(line, places, left, begin, end, best, fill(lowest))
                    )
        unpack_bins(cells, r, first, y)
        if argmax is not None:
            unpack_bins(found, r, first, argmax)


@inner_exact
def _larger(a, b):
    """Return the larger of two vectors; of equals, or if ``a`` is not a number, ``b``."""
    return choose(is_larger(a, b), a, b)


@inner_exact
def _keep_larger(buffer, stride, corner, rows, width, line, places, argmax):
    """Keep in the line the larger of itself and some rows, and if ``argmax`` is asked for, where the row begins."""
    origin, n_columns = corner
    for k in range(n_columns):
        at = origin + k * LANES
        best = load(line, k * LANES)
        if argmax is None:
            for t in range(len(rows)):
                best = _larger(load(buffer, at + stride * rows[t]), best)
        else:
            place = load(places, k * LANES)
            for t in range(len(rows)):
                value = load(buffer, at + stride * rows[t])
                here = is_larger(value, best)
                place = choose(here, fill(np.int32(rows[t] * width)), place)
                best = choose(here, value, best)
            store(places, k * LANES, place)
        store(line, k * LANES, best)


@inner_exact
def _first_place(line, places, left, begin, end, best, lowest):
    """Return the first pixel in row order whose value is ``best``; -1 where that is the lowest."""
    first = fill(np.int32(NOWHERE))
    for column in range(begin, end):
        value, place = load(line, column * LANES), fill(np.int32(left + column))
        place = add_scaled(place, np.int32(1), load(places, column * LANES))
        earlier = choose(is_larger(first, place), place, first)
        first = choose(is_larger(best, value), first, earlier)
    return choose(is_larger(best, lowest), first, fill(np.int32(-1)))


@exact
def scatter(gy, argmax, roi_indices, begin, end, gx):
    """Add each gradient to the pixel its maximum came from, for the channels [begin, end); RoIs in order.

    Args:
        gy (array): (R', C, bins).
        argmax (array): int32, (R', C, bins), pixel of the plane; negative passes nothing.
        roi_indices (array): int32, (R',).
        begin, end (int): Channels.
        gx (array): (B, C, H * W), receives these channels.
    """
    for image in gx:
        image[begin:end] = 0
    for r in range(gy.shape[0]):
        for c in range(begin, end):
            plane, g, place = gx[roi_indices[r], c], gy[r, c], argmax[r, c]
            for k in range(g.size):
                if place[k] >= 0:
                    plane[place[k]] += g[k]
