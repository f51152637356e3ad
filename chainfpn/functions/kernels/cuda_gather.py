"""Gathering rows of the levels of a dense head on CuPy arrays: one launch, no wait."""

import math
from collections.abc import Sequence

from chainer.backends import cuda

from chainfpn._typing import Array


def gather(xs: Sequence[Array], rows: Array) -> Array:
    """Gather rows from all levels as if they were concatenated: see ``functions._gather``.

    Args:
        xs (sequence of array): Per level, (B, N_l, ...), of one dtype.
        rows (array): integers, (R,), in [0, B * N).

    Returns:
        array: dtype of xs, (R, ...).
    """
    y = cuda.cupy.empty((len(rows), *xs[0].shape[2:]), xs[0].dtype)
    if y.size:
        kernel = _kernel("gather_rows", len(xs), "raw T x{}", "T y", "y = x{}[place];")
        kernel(rows, *_sizes([x.shape for x in xs]), *xs, y)
    return y


def scatter(gy: Array, rows: Array, shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
    """Add rows to zeros of given shapes: the transpose of :func:`gather`.

    Args:
        gy (array): (R, ...).
        rows (array): integers, (R,), in [0, B * N).
        shapes (sequence of tuple): Per level, (B, N_l, ...).

    Returns:
        tuple of array: dtype of gy, of these shapes; parts of one block of memory.
    """
    sizes = [math.prod(shape) for shape in shapes]
    block, gxs, start = cuda.cupy.zeros(sum(sizes), gy.dtype), [], 0
    for size, shape in zip(sizes, shapes, strict=True):
        gxs.append(block[start : start + size].reshape(shape))
        start += size
    if gy.size:
        kernel = _kernel("scatter_rows", len(shapes), "T gy", "raw T x{}", "atomicAdd(&x{}[place], gy);")
        kernel(rows, *_sizes(shapes), gy, *gxs)
    return tuple(gxs)


def _sizes(shapes):
    """List the numbers per row, the anchors of all levels, and the anchors of each level."""
    n_anchors = [shape[1] for shape in shapes]
    return math.prod(shapes[0][2:]), sum(n_anchors), *n_anchors


def _kernel(name, n_levels, inputs, outputs, statement):
    """Make the kernel for a number of levels; ``{}`` is the level that has the row of an element."""

    def each(text):
        return ", ".join(text.format(level) for level in range(n_levels)) if "{}" in text else text

    parameters = f"raw U rows, int64 width, int64 n_all, {each('int64 n{}')}, {each(inputs)}"
    code = "const long long row = rows[i / width], image = row / n_all;\nlong long anchor = row % n_all;\n"
    for level in range(n_levels):
        place = f"const long long place = (image * n{level} + anchor) * width + i % width;"
        code += f"if (anchor < n{level}) {{ {place} {statement.format(level)} }} else {{ anchor -= n{level};\n"
    return cuda.elementwise(parameters, each(outputs), code + "}" * n_levels, name)
