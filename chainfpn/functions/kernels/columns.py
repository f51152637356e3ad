"""The windows of a convolution as columns of a matrix, and back: compiled where Numba is installed."""

from collections.abc import Callable

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.functions.kernels import import_compiled


def column_kernels() -> tuple[Callable, Callable]:
    """Return :func:`lay_out` and :func:`fold`, or the compiled ones; threads do not know of ``plain_numpy``."""
    compiled = import_compiled("numba_columns")
    return (lay_out, fold) if compiled is None else (compiled.lay_out, compiled.fold)


def lay_out(source: Array, begin: int, stride: Size, pad: Size, dilate: Size, columns: Array) -> None:
    """Copy the windows of output rows from ``begin`` on, with zeros around the map.

    Args:
        source (array): (C, H, W).
        begin (int): First output row.
        stride, pad, dilate ((int, int)): Of the convolution.
        columns (array): dtype of source, (C, kh, kw, rows, outw), filled.
    """
    for i, j in np.ndindex(columns.shape[1:3]):
        (rows, from_rows), (across, from_columns) = _places(source, begin, stride, pad, dilate, columns, i, j)
        target = columns[:, i, j]
        target[:, : rows.start] = target[:, rows.stop :] = 0
        target[:, rows, : across.start] = target[:, rows, across.stop :] = 0
        target[:, rows, across] = source[:, from_rows, from_columns]


def fold(target: Array, begin: int, stride: Size, pad: Size, dilate: Size, columns: Array) -> None:
    """Add windows to the pixels they were laid out from: the transpose of :func:`lay_out`, whose arguments it has."""
    for i, j in np.ndindex(columns.shape[1:3]):
        (rows, to_rows), (across, to_columns) = _places(target, begin, stride, pad, dilate, columns, i, j)
        target[:, to_rows, to_columns] += columns[:, i, j, rows, across]


def _places(source, begin, stride, pad, dilate, columns, i, j):
    """Return for both axes where a tap of the windows is inside the map: slices of the columns, and of the map."""
    n_rows, outw = columns.shape[3:]
    rows = _inside(n_rows, begin * stride[0] + i * dilate[0] - pad[0], stride[0], source.shape[1])
    return rows, _inside(outw, j * dilate[1] - pad[1], stride[1], source.shape[2])


def _inside(n, first, step, size):
    """Return the range of :func:`find_inside` as a slice of k, and as one of the axis."""
    begin, end = find_inside(n, first, step, size)
    return slice(begin, end), slice(first + begin * step, max(first + (end - 1) * step + 1, 0), step)


def find_inside(n: int, first: int, step: int, size: int) -> tuple[int, int]:
    """Return the range of k < n for which ``first + k * step`` lies in an axis of this size."""
    begin = min(max(0, -(first // step)), n)
    return begin, max(begin, min(n, -((first - size) // step)))
