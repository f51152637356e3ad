"""The grids of a mask branch, pasted into the image: R boxes, S cells a side."""

import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Array, Size
from chainfpn.functions import resize_bilinear
from chainfpn.functions._resize import BILINEAR, OPTIONS, REALS
from chainfpn.functions.kernels import compute_dtype


def paste_masks(mask: Array, bbox: Array, size: Size, *, rounded: bool = False) -> Array:
    """Paste the mask of each box into the image.

    A border of zeros is put around the grid, the box grown by as much and rounded towards zero to whole pixels, and the
    grid resized bilinearly to it, the last pixel included. Of masks on a GPU only the pixels of boxes come to the CPU.

    Args:
        mask (array): float, (R, S, S), probabilities, NumPy or CuPy.
        bbox (array): float, (R, 4), yxyx in pixels of the image, NumPy.
        size ((int, int)): Height and width of the image.
        rounded (bool): Round the box to the nearest pixels instead, and leave the last one out.

    Returns:
        array: NumPy, bool, (R, H, W), where the probability is above 0.5.

    Source:
        torchvision 0.14 ``paste_masks_in_image``; rounded, ChainerCV 0.13 ``segm_to_mask``.
    """
    growth = bbox.dtype.type((mask.shape[1] + 2) / mask.shape[1])
    half = (bbox[:, 2:] - bbox[:, :2]) * bbox.dtype.type(0.5) * growth
    centre = (bbox[:, 2:] + bbox[:, :2]) * bbox.dtype.type(0.5)
    corners = np.concatenate((centre - half, centre + half), axis=1)  # (R, 4)
    corners = (np.round(corners) if rounded else corners).astype(np.int64)
    corners[:, 2:] += not rounded  # one behind the last pixel
    sides = np.maximum(corners[:, 2:] - corners[:, :2], 1)  # (R, 2)
    first = np.clip(corners[:, :2], 0, size)  # (R, 2), the part in the image
    shape = np.clip(corners[:, 2:], first, size) - first
    parts = (_paste if isinstance(mask, np.ndarray) else _paste_on_gpu)(mask, sides, first - corners[:, :2], shape)
    return _lay_on_images(parts, first, (len(mask), *size))


def paste_masks_at_centers(mask: Array, bbox: Array, size: Size) -> Array:
    """Sample the mask of each box at the centres of the image's pixels.

    The grid lies over the box as it is, neither grown nor rounded, and is read bilinearly; it is 0 outside. Along a
    side of no length the middle of the grid is read.

    Args:
        mask (array): float, (R, S, S), probabilities, NumPy or CuPy.
        bbox (array): float, (R, 4), yxyx in pixels of the image, NumPy.
        size ((int, int)): Height and width of the image.

    Returns:
        array: NumPy, bool, (R, H, W), where the probability is 0.5 or more.

    Source:
        detectron2 0.6 ``paste_masks_in_image``; mmdetection 3.3 ``_do_paste_mask``.
    """
    xp, parts, first = cuda.get_array_module(mask), [], []
    for grid, bb in zip(mask, bbox, strict=True):
        (y, rows), (x, columns) = (_read_axis(bb[axis], bb[axis + 2], size[axis], len(grid)) for axis in (0, 1))
        rows, columns = (xp.asarray(weights, grid.dtype) for weights in (rows, columns))  # (height, S), (width, S)
        parts.append(rows @ grid @ columns.T >= 0.5)
        first.append((y, x))
    return _lay_on_images(_to_cpu(parts), first, (len(mask), *size))


def _lay_on_images(parts, first, shape):
    """Lay the part of each mask, (height, width), on an image of its own, from its first pixel on: bool, (R, H, W)."""
    pasted = np.zeros(shape, dtype=bool)
    for over, part, (y, x) in zip(pasted, parts, first, strict=True):
        over[y : y + part.shape[0], x : x + part.shape[1]] = part
    return pasted


def _read_axis(low, high, n_pixels, n_cells):
    """Return the first pixel that may read the grid between two coordinates, and the weights of cells, (pixels, S)."""
    first, last = (int(np.clip(edge, 0, n_pixels)) for edge in (np.floor(low) - 1, np.ceil(high) + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        at = (np.arange(first, last, dtype=low.dtype) + low.dtype.type(0.5) - low) / (high - low) * 2 - 1  # -1 to 1
    at = ((np.where(np.isinf(at), 0, at) + 1) * n_cells - 1) / 2  # cells
    cells = np.arange(n_cells, dtype=low.dtype)
    return first, np.nan_to_num(np.maximum(1 - np.abs(at[:, None] - cells), 0))


def _to_cpu(parts):
    """Bring arrays of two axes from any device to the CPU in one copy."""
    if not parts or isinstance(parts[0], np.ndarray):
        return parts
    flat = cuda.get_array_module(*parts).concatenate([part.ravel() for part in parts]).get()
    return _cut(flat, [part.shape for part in parts])


def _cut(flat, shapes):
    """Cut what stands in a row into arrays of (height, width)."""
    ends = np.cumsum([height * width for height, width in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]


def _paste(mask, sides, first, shape):
    """Yield the part of each mask, (height, width): of its grid resized to ``sides``, from ``first`` on ``shape``."""
    for grid, resized_size, (y, x), (height, width) in zip(mask, sides.tolist(), first, shape, strict=True):
        resized = resize_bilinear(np.pad(grid, 1)[None, None], resized_size).array[0, 0]
        yield resized[y : y + height, x : x + width] > 0.5


def _paste_on_gpu(mask, sides, first, shape):
    """Do the same, all pixels of all parts in a row, and copy them at once."""
    ends = np.cumsum(shape.prod(axis=1))
    if not len(ends) or not ends[-1]:
        return [np.zeros(part, bool) for part in shape]
    xp = cuda.get_array_module(mask)
    inside = xp.empty(int(ends[-1]), bool)
    cuda.elementwise(
        "raw T mask, raw int64 boxes, int32 n_boxes, int32 side",
        "bool inside",
        """
        int box = 0;  // the first that ends behind pixel i
        for (int behind = n_boxes - 1; box < behind;) {
            const int middle = (box + behind) / 2;
            if (boxes[7 * middle + 6] > i) behind = middle; else box = middle + 1;
        }
        const ptrdiff_t at = 7 * box, pixel = i - (box ? boxes[at - 1] : 0);
        const int y = boxes[at + 2] + pixel / boxes[at + 5], x = boxes[at + 3] + pixel % boxes[at + 5], n = side + 2;
        const Source row = find_source(y, n, (Real)n / (Real)boxes[at], false);
        const Source column = find_source(x, n, (Real)n / (Real)boxes[at + 1], false);
        Real value[2];
        for (int k = 0; k < 2; ++k) {
            Real ends[2];
            for (int l = 0; l < 2; ++l) {
                const int v = (k ? row.high : row.low) - 1, u = (l ? column.high : column.low) - 1;
                const bool is_border = v < 0 || u < 0 || v >= side || u >= side;
                ends[l] = is_border ? (Real)0 : (Real)mask[((ptrdiff_t)box * side + v) * side + u];
            }
            value[k] = interpolate(ends[0], ends[1], column.upper);
        }
        inside = interpolate(value[0], value[1], row.upper) > (Real)0.5;
        """,
        "paste_masks",
        preamble=BILINEAR % REALS[compute_dtype(mask.dtype)],
        options=OPTIONS,
    )(mask, xp.asarray(np.column_stack((sides, first, shape, ends))), len(mask), mask.shape[1], inside)
    return _cut(inside.get(), shape)
