"""Anchor boxes on the grids of a feature pyramid."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainfpn._typing import Array, Size, Sizes
from chainfpn.errors import InvalidArgument

#: Shapes of batches whose boxes are kept on a GPU.
CACHE_SIZE = 8


def keep_on_gpu(generator: Any, map_sizes: Sizes, image_size: Size, xp: Any) -> list[Array]:
    """Make the boxes of all levels, or on a GPU take those that the generator, set as it is, made of the same shapes.

    Args:
        generator (object): Its ``_make`` makes the boxes.
        map_sizes, image_size, xp: See :meth:`AnchorGenerator.__call__`.

    Returns:
        list of array: What ``_make`` returns.
    """
    if xp is np:
        return generator._make(map_sizes, image_size, xp)
    settings = tuple(value for name, value in vars(generator).items() if name != "_cache")
    key = (settings, tuple(map(tuple, map_sizes)), tuple(image_size), xp.cuda.Device().id)
    cache = vars(generator).setdefault("_cache", {})
    if key not in cache:
        if len(cache) >= CACHE_SIZE:
            cache.clear()
        cache[key] = generator._make(map_sizes, image_size, xp)
    return list(cache[key])


class AnchorGenerator:
    """Place the same boxes at every place of every level.

    A box of size s and ratio r has height s * sqrt(r) and width s / sqrt(r), its half extents rounded to integers. The
    boxes of place (i, j) are centred on pixel (i * stride, j * stride), where stride is the whole number of image
    pixels per map pixel; there is no half-pixel offset.

    Args:
        sizes (sequence of sequences of float): Per level, the square roots of the areas in pixels.
        aspect_ratios (sequence of float): Heights over widths, used at every level.

    Raises:
        InvalidArgument: if a size or a ratio is not > 0, here or when it is set later.

    Source:
        torchvision 0.14 ``AnchorGenerator``.

    Example:
        >>> AnchorGenerator([[32]], [1.0])([(1, 2)], (16, 32), np)[0]
        array([[-16., -16.,  16.,  16.],
               [-16.,   0.,  16.,  32.]], dtype=float32)
    """

    #: Strides between the corner of the image and the first centre.
    offset = 0.0

    def __init__(self, sizes: Sequence[Sequence[float]], aspect_ratios: Sequence[float]) -> None:
        self.sizes = sizes
        self.aspect_ratios = aspect_ratios

    def __setattr__(self, name, value):
        if name == "sizes":
            value = tuple(tuple(map(float, level)) for level in value)
            numbers = sum(value, ())
        elif name == "aspect_ratios":
            numbers = value = tuple(map(float, value))
        else:
            raise AttributeError(f"{type(self).__name__}: there is no attribute {name}")
        if not numbers or min(numbers) <= 0:
            raise InvalidArgument("AnchorGenerator", name, "> 0 and not empty", numbers)
        super().__setattr__(name, value)

    @property
    def n_levels(self) -> int:
        """int: Number of levels that anchors are defined for."""
        return len(self.sizes)

    @property
    def n_anchors(self) -> int:
        """int: Anchors a place, the same at every level.

        Raises:
            ValueError: if the levels differ, which no convolutional head can serve.
        """
        counts = {len(level) * len(self.aspect_ratios) for level in self.sizes}
        if len(counts) != 1:
            raise ValueError(f"AnchorGenerator: sizes must have equally many entries per level, got {self.sizes!r}")
        return counts.pop()

    def __call__(self, map_sizes: Sizes, image_size: Size, xp: Any) -> list[Array]:
        """Make the anchors of all levels.

        Args:
            map_sizes (sequence of (int, int)): Height and width of each level's map.
            image_size ((int, int)): Height and width of the (padded) images of the batch.
            xp (module): numpy or cupy.

        Returns:
            list of array: float32, (H_l * W_l * A, 4), yxyx in image pixels; row-major, the A anchors of a place next
            to each other. Those on a GPU are kept for the next call: they must not be changed in place.

        Raises:
            ValueError: if the number of maps is not the number of levels.
        """
        if len(map_sizes) != self.n_levels:
            raise ValueError(f"AnchorGenerator: map_sizes must have {self.n_levels} entries, got {len(map_sizes)}")
        return keep_on_gpu(self, map_sizes, image_size, xp)

    def _make(self, map_sizes, image_size, xp):
        anchors = []
        strides = self._strides(map_sizes, image_size)
        for (height, width), (stride_y, stride_x), sizes in zip(map_sizes, strides, self.sizes, strict=True):
            y = (xp.arange(height, dtype=np.float32) + np.float32(self.offset)) * stride_y
            x = (xp.arange(width, dtype=np.float32) + np.float32(self.offset)) * stride_x
            y, x = xp.meshgrid(y, x, indexing="ij")  # (H, W)
            shifts = xp.stack((y, x, y, x), axis=-1).reshape(-1, 1, 4)  # (HW, 1, 4)
            anchors.append((shifts + xp.asarray(self._base(sizes, stride_y))).reshape(-1, 4))  # (HWA, 4)
        return anchors

    def _strides(self, map_sizes, image_size):
        """Return the image pixels per map pixel of each level, along y and x."""
        return [(image_size[0] // height, image_size[1] // width) for height, width in map_sizes]

    def _base(self, sizes, stride):
        """Make the boxes around the origin, ratios outermost: float32, (A, 4)."""
        sizes = np.asarray(sizes, dtype=np.float32)
        h_ratios = np.sqrt(np.asarray(self.aspect_ratios, dtype=np.float32))
        heights = (h_ratios[:, None] * sizes).ravel()
        widths = ((1 / h_ratios)[:, None] * sizes).ravel()
        return np.round(np.stack((-heights, -widths, heights, widths), axis=1) / 2)
