"""How much boxes overlap."""

import numpy as np
from chainer import backend


def bbox_iou(bbox_a, bbox_b):
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
    xp = backend.get_array_module(bbox_a)
    top_a, left_a, bottom_a, right_a = bbox_a.astype(dtype, copy=False).T[:, :, None]  # (N, 1)
    top_b, left_b, bottom_b, right_b = xp.ascontiguousarray(bbox_b.astype(dtype, copy=False).T)  # (K,)
    shared = xp.minimum(right_a, right_b) - xp.maximum(left_a, left_b)  # (N, K)
    xp.maximum(shared, 0, out=shared)
    height = xp.minimum(bottom_a, bottom_b) - xp.maximum(top_a, top_b)
    shared *= xp.maximum(height, 0, out=height)
    union = (right_a - left_a) * (bottom_a - top_a) + (right_b - left_b) * (bottom_b - top_b)
    union -= shared
    with np.errstate(invalid="ignore"):
        return xp.divide(shared, union, out=shared)
