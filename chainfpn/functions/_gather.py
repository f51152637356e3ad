"""Gathering rows from the levels of a dense head."""

import itertools

from chainer import backend

from chainfpn._typing import Array, Variable
from chainfpn.functions._gathered_input import GatheredInput


def gather(xs: list[Variable], rows: Array) -> GatheredInput:
    """Gather rows from all levels as if they were concatenated, without concatenating them.

    Row r is anchor r % N of image r // N, where N is the number of anchors of all levels, the first level's first.

    Args:
        xs (list of Variable): Per level, (B, N_l, ...), of one dtype.
        rows (array): integers, (R,), in [0, B * N).

    Returns:
        GatheredInput: dtype of xs, (R, ...), for a loss; its ``variable`` is for everything else.

    Example:
        >>> import numpy as np
        >>> fine, coarse = np.array([[0, 1, 2], [4, 5, 6]], np.float32), np.array([[3], [7]], np.float32)
        >>> gather([fine, coarse], np.array([3, 4, 7])).variable.array
        array([3., 4., 7.], dtype=float32)
    """
    ends = list(itertools.accumulate(x.shape[1] for x in xs))
    xp = backend.get_array_module(rows)
    image, anchor = xp.divmod(rows, max(ends[-1], 1))
    level = xp.searchsorted(xp.asarray(ends), anchor, side="right")
    parts = []  # per level, the rows that are in it, and their places with all images flattened
    for i, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        (here,) = xp.nonzero(level == i)
        parts.append((here, image[here] * (end - start) + anchor[here] - start))
    shapes = [x.shape for x in xs]

    def gather_rows(xs):
        y = xp.empty((len(rows), *shapes[0][2:]), xs[0].dtype)
        for x, (here, place) in zip(xs, parts, strict=True):
            y[here] = x.reshape(-1, *x.shape[2:])[place]
        return (y,)

    def scatter(gys):
        (gy,) = gys
        gxs = [xp.zeros((shape[0] * shape[1], *shape[2:]), gy.dtype) for shape in shapes]
        for gx, (here, place) in zip(gxs, parts, strict=True):
            xp.add.at(gx, place, gy[here])
        return tuple(gx.reshape(shape) for gx, shape in zip(gxs, shapes, strict=True))

    return GatheredInput("gather", xs, (len(rows), *shapes[0][2:]), gather_rows, scatter)
