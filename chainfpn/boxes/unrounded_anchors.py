"""The anchors of detectron2 and mmdetection: not rounded, their strides fixed."""

import math

import numpy as np

from chainfpn.boxes.anchors import AnchorGenerator


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

    def _strides(self, map_sizes, image_size):
        (height, _), (image_height, _) = map_sizes[0], image_size
        finest = 2 ** round(math.log2(image_height / height))
        return [(finest * 2**level,) * 2 for level in range(len(map_sizes))]

    def _sides(self, sizes):
        """Return the heights and widths of the boxes of a place, float32 or float64, (A,)."""
        ratios = np.sqrt(np.asarray(self.aspect_ratios, np.float32))[:, None]
        sizes = np.asarray(sizes, np.float32)
        return (ratios * sizes).ravel(), (1 / ratios * sizes).ravel()

    def _base(self, sizes, stride):
        heights, widths = self._sides(sizes)
        return (np.stack((-heights, -widths, heights, widths), axis=1) / 2).astype(np.float32)


class Detectron2AnchorGenerator(MMDetectionAnchorGenerator):
    """Place the boxes of :class:`MMDetectionAnchorGenerator`, but sizes are outermost among those of a place.

    The arguments are those of :class:`AnchorGenerator`.

    Source:
        detectron2 0.6 ``DefaultAnchorGenerator``.
    """

    def _sides(self, sizes):
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
