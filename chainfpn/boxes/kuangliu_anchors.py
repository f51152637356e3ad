"""The anchors of kuangliu/pytorch-retinanet."""

import numpy as np

from chainfpn.boxes.anchors import AnchorGenerator


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

    def _strides(self, map_sizes, image_size):
        return [(image_size[0] / height, image_size[1] / width) for height, width in map_sizes]

    def _base(self, sizes, stride):
        ratios = np.sqrt(np.array(self.aspect_ratios))[:, None]
        heights, widths = (np.ravel(r * np.array(sizes)) for r in (ratios, 1 / ratios))  # (A,)
        return (np.stack((-heights, -widths, heights, widths), axis=1) / 2).astype(np.float32)
