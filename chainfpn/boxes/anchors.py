"""Anchor boxes on the grids of a feature pyramid: torchvision's, and those of other frameworks."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainfpn._typing import Array, Size, Sizes
from chainfpn.errors import InvalidArgument

#: Shapes of batches whose boxes are kept on a GPU.
CACHE_SIZE = 8


class BoxGenerator:
    """Base of what places boxes on maps: a subclass has ``n_levels``, and ``_make``, which makes the boxes."""

    n_levels: Any
    _make: Any

    def __call__(self, map_sizes: Sizes, image_size: Size, xp: Any) -> list[Array]:
        """Make the boxes of all levels, or on a GPU take those that were made, set as it is, of the same shapes.

        Args:
            map_sizes (sequence of (int, int)): Height and width of each level's map.
            image_size ((int, int)): Height and width of the (padded) images of the batch.
            xp (module): numpy or cupy.

        Returns:
            list of array: float32, (H_l * W_l * A_l, 4), yxyx in image pixels; row-major, the A_l boxes of a place next
            to each other. Those on a GPU are kept for the next call: they must not be changed in place.

        Raises:
            ValueError: if the number of maps is not the number of levels.
        """
        if len(map_sizes) != self.n_levels:
            name = type(self).__name__
            raise ValueError(f"{name}: map_sizes must have {self.n_levels} entries, got {len(map_sizes)}")
        if xp is np:
            return self._make(map_sizes, image_size, xp)
        settings = tuple(value for name, value in vars(self).items() if name != "_cache")
        key = (settings, tuple(map(tuple, map_sizes)), tuple(image_size), xp.cuda.Device().id)
        cache = vars(self).setdefault("_cache", {})
        if key not in cache:
            if len(cache) >= CACHE_SIZE:
                cache.clear()
            cache[key] = self._make(map_sizes, image_size, xp)
        return list(cache[key])


class AnchorGenerator(BoxGenerator):
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
    #: Whether the half extents are rounded to integers.
    rounded = True
    #: What shapes are computed in.
    dtype: Any = np.float32

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
        """Make the boxes around the origin: float32, (A, 4)."""
        heights, widths = self._sides(sizes, stride)
        corners = np.stack((-heights, -widths, heights, widths), axis=1) / 2
        return (np.round(corners) if self.rounded else corners).astype(np.float32)

    def _sides(self, sizes, stride):
        """Return the heights and widths of the boxes of a place, (A,), ratios outermost."""
        ratios, sizes = np.sqrt(np.asarray(self.aspect_ratios, self.dtype)), np.asarray(sizes, self.dtype)
        return np.outer(ratios, sizes).ravel(), np.outer(1 / ratios, sizes).ravel()


class ChainerCVAnchorGenerator(AnchorGenerator):
    """Place boxes as ChainerCV does: half a stride off the corner, their shapes rounded to whole strides.

    A box of size s and ratio r at stride t has the width round(t / sqrt(r)) * s / t and the height
    round(r * round(t / sqrt(r))) * s / t. The stride doubles from level to level, also where a level's map is rounded
    up. The arguments are those of :class:`AnchorGenerator`.

    Source:
        ChainerCV 0.13 ``RPN.anchors`` of its FPN.

    Example:
        >>> ChainerCVAnchorGenerator([[32]], [0.5])([(1, 2)], (4, 8), np)[0]
        array([[-10., -22.,  14.,  26.],
               [-10., -18.,  14.,  30.]], dtype=float32)
    """

    offset = 0.5
    rounded = False

    def _strides(self, map_sizes, image_size):
        ((stride_y, stride_x),) = super()._strides(map_sizes[:1], image_size)
        return [(stride_y * 2**level, stride_x * 2**level) for level in range(len(map_sizes))]

    def _sides(self, sizes, stride):
        ratios = np.array(self.aspect_ratios)
        widths = np.round(stride / np.sqrt(ratios))  # in strides
        heights, scales = np.round(widths * ratios), np.array(sizes) / stride
        return np.outer(heights, scales).ravel(), np.outer(widths, scales).ravel()


class MMDetectionAnchorGenerator(AnchorGenerator):
    """Place boxes whose shapes are not rounded, at strides that double from level to level.

    The stride of the first level is the power of two nearest to the image's side over the map's, and that of the others
    follows from it, also where a level's map is rounded up. Ratios are outermost among the boxes of a place. The
    arguments are those of :class:`AnchorGenerator`.

    Source:
        mmdetection 3.3 ``AnchorGenerator``.

    Example:
        >>> MMDetectionAnchorGenerator([[9], [18]], [1.0])([(2, 2), (1, 1)], (8, 8), np)[1]
        array([[-9., -9.,  9.,  9.]], dtype=float32)
    """

    rounded = False

    def _strides(self, map_sizes, image_size):
        (height, _), (image_height, _) = map_sizes[0], image_size
        finest = 2 ** round(math.log2(image_height / height))
        return [(finest * 2**level,) * 2 for level in range(len(map_sizes))]


class Detectron2AnchorGenerator(MMDetectionAnchorGenerator):
    """Place the boxes of :class:`MMDetectionAnchorGenerator`, but sizes are outermost among those of a place.

    The arguments are those of :class:`AnchorGenerator`.

    Source:
        detectron2 0.6 ``DefaultAnchorGenerator``.
    """

    def _sides(self, sizes, stride):
        areas, ratios = np.array(sizes)[:, None] ** 2, np.array(self.aspect_ratios)
        widths = np.sqrt(areas / ratios)
        return (ratios * widths).ravel(), widths.ravel()


class MMDetectionPointGenerator(MMDetectionAnchorGenerator):
    """Place the boxes of :class:`MMDetectionAnchorGenerator` half a stride further: around the middle of each place.

    The arguments are those of :class:`AnchorGenerator`.

    Source:
        mmdetection 3.3 ``MlvlPointGenerator``.
    """

    offset = 0.5


class KuangliuAnchorGenerator(AnchorGenerator):
    """Place boxes in the middle of each place, their shapes and strides not rounded.

    The stride is the image's side over the map's, which is no whole number where the map was rounded up. The arguments
    are those of :class:`AnchorGenerator`.

    Source:
        kuangliu/pytorch-retinanet ``DataEncoder._get_anchor_boxes``.

    Example:
        >>> KuangliuAnchorGenerator([[10]], [1.0])([(1, 2)], (15, 25), np)[0]
        array([[ 2.5 ,  1.25, 12.5 , 11.25],
               [ 2.5 , 13.75, 12.5 , 23.75]], dtype=float32)
    """

    offset = 0.5
    rounded = False
    dtype = np.float64

    def _strides(self, map_sizes, image_size):
        return [(image_size[0] / height, image_size[1] / width) for height, width in map_sizes]
