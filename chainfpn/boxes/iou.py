"""How much boxes overlap."""

import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels.iou_match import iou_matrix


def bbox_iou(bbox_a: Array, bbox_b: Array) -> Array:
    """Compute the intersection over the union of all pairs.

    Args:
        bbox_a (array): float, (N, 4), yxyx.
        bbox_b (array): float, (K, 4), yxyx.

    Returns:
        array: float32, or float64 if either is, (N, K); NaN for two empty boxes.

    Source:
        torchvision 0.14 ``box_iou``.

    Example:
        >>> bbox_iou(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 4.0, 2.0]]))
        array([[1.  , 0.25]])
    """
    dtype = np.result_type(bbox_a.dtype, bbox_b.dtype, np.float32)
    return iou_matrix(bbox_a.astype(dtype, copy=False).T, bbox_b.astype(dtype, copy=False).T)
