"""Position-sensitive RoI average pooling."""

from chainfpn._typing import Array, Size, Variable
from chainfpn.functions._arguments import check_roi_arguments
from chainfpn.functions._linear_map import linear_roi_op


def ps_roi_pool(x: Variable, rois: Array, roi_indices: Array, outsize: int | Size, spatial_scale: float) -> Variable:
    """Pool each RoI to a fixed grid by the mean of its pixels, each bin from channels of its own.

    Bin (i, j) of output channel c reads input channel ``(c * outh + i) * outw + j``. Corners are rounded to feature
    pixels, halves away from zero, the last pixel left out; an empty or reversed side is one pixel. As in torchvision
    the last row and column of the map are never read. A bin outside the map, and every bin of a RoI with a NaN, gives 0
    and passes no gradient; coordinates are clipped at 2**20 feature pixels.

    Args:
        x (Variable): float16/32/64, (B, C * outh * outw, H, W).
        rois, roi_indices, outsize, spatial_scale: As in :func:`roi_align`.

    Returns:
        Variable: dtype of x, (R', C, outh, outw). float16 is summed in float32.

    Raises:
        TypeError: if an array has the wrong dtype or device.
        ValueError: if a shape, an index or ``spatial_scale`` is out of range, or the channels do not divide into bins.

    Source:
        Dai et al. 2016 (R-FCN), section 3; torchvision 0.14 ``ps_roi_pool``.

    Example:
        >>> import numpy as np
        >>> x = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1) * np.ones((4, 4), np.float32)
        >>> rois = np.array([[0, 0, 2, 2]], np.float32)
        >>> ps_roi_pool(x, rois, np.array([0], np.int32), 2, 1.0).array
        array([[[[0., 1.],
                 [2., 3.]]]], dtype=float32)
    """
    p = check_roi_arguments("ps_roi_pool", x, rois, roi_indices, outsize, spatial_scale, position_sensitive=True)
    return linear_roi_op("ps_roi_pool", "ps_pool", x, p)
