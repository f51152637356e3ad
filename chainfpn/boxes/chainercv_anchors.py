"""The anchors of ChainerCV's FPN detectors."""

import numpy as np

from chainfpn.boxes.anchors import AnchorGenerator


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

    def _strides(self, map_sizes, image_size):
        ((stride_y, stride_x),) = super()._strides(map_sizes[:1], image_size)
        return [(stride_y * 2**level, stride_x * 2**level) for level in range(len(map_sizes))]

    def _base(self, sizes, stride):
        ratios = np.array(self.aspect_ratios)
        widths = np.round(stride / np.sqrt(ratios))  # (A,), in strides
        heights = np.round(widths * ratios)
        sides = np.stack((heights, widths), axis=1)[:, None] * (np.array(sizes)[:, None] / stride)  # (A, S, 2)
        sides = sides.reshape(-1, 2)
        return (np.concatenate((-sides, sides), axis=1) / 2).astype(np.float32)
