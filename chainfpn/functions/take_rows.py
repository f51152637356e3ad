"""Choosing a few rows of what a head says at every level."""

import itertools

from chainer import backend

from chainfpn.functions._linear_map import LinearMap


def take_rows(xs, rows):
    """Take rows of the levels as if they were put together, which they are not.

    Row r is anchor r % N of image r // N, where N is the number of anchors of all levels, the first level's first.

    Args:
        xs (list of Variable): Per level, (B, N_l, ...), of one dtype.
        rows (array): integers, (R,), in [0, B * N).

    Returns:
        Variable: dtype of xs, (R, ...).

    Example:
        >>> import numpy as np
        >>> fine, coarse = np.array([[0, 1, 2], [4, 5, 6]], np.float32), np.array([[3], [7]], np.float32)
        >>> take_rows([fine, coarse], np.array([3, 4, 7])).array
        array([3., 4., 7.], dtype=float32)
    """
    ends = list(itertools.accumulate(x.shape[1] for x in xs))
    image, anchor = rows // max(ends[-1], 1), rows % max(ends[-1], 1)
    xp = backend.get_array_module(rows)
    parts = []  # per level, where its rows go and come from
    for start, end in zip([0, *ends], ends, strict=False):
        (here,) = xp.nonzero((anchor >= start) & (anchor < end))
        parts.append((here, (image[here], anchor[here] - start)))
    shapes = [x.shape for x in xs]

    def forward(xs):
        y = xp.empty((len(rows), *shapes[0][2:]), xs[0].dtype)
        for x, (here, place) in zip(xs, parts, strict=True):
            y[here] = x[place]
        return (y,)

    def transpose(gys):
        (gy,) = gys
        gxs = [xp.zeros(shape, gy.dtype) for shape in shapes]
        for gx, (here, place) in zip(gxs, parts, strict=True):
            xp.add.at(gx, place, gy[here])
        return tuple(gxs)

    return LinearMap("take_rows", forward, transpose).apply(xs)[0]
