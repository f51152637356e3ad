"""RoI max pooling."""

from chainfpn._typing import Array, Size, Variable
from chainfpn.functions._arguments import check_roi_arguments
from chainfpn.functions._max_map import MaxMap
from chainfpn.functions.kernels import kernels_for


def roi_pool(x: Variable, rois: Array, roi_indices: Array, outsize: int | Size, spatial_scale: float) -> Variable:
    """Pool each RoI to a fixed grid by maximum.

    Corners are rounded to feature pixels, halves away from zero, the last pixel included; the RoI is cut into bins of
    equal real size whose borders are rounded outwards. Empty and reversed RoIs are one pixel. A bin outside the map,
    and every bin of a RoI with a NaN, gives 0 and passes no gradient; coordinates are clipped at 2**20 feature pixels.
    Among equal pixels the first in row order gets the gradient. A NaN in the map is never the maximum.

    Args:
        x (Variable): float16/32/64, (B, C, H, W).
        rois, roi_indices, outsize, spatial_scale: As in :func:`roi_align`.

    Returns:
        Variable: dtype of x, (R', C, outh, outw).

    Raises:
        TypeError: if an array has the wrong dtype or device.
        ValueError: if a shape, an index or ``spatial_scale`` is out of range.

    Source:
        Girshick 2015, section 2.1; torchvision 0.14 ``roi_pool``.

    Example:
        >>> import numpy as np
        >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
        >>> rois = np.array([[0, 0, 1, 3]], np.float32)
        >>> roi_pool(x, rois, np.array([0], np.int32), (1, 2), 1.0).array
        array([[[[5., 7.]]]], dtype=float32)
    """
    p = check_roi_arguments("roi_pool", x, rois, roi_indices, outsize, spatial_scale)
    return MaxMap("roi_pool", lambda x: kernels_for(x).pool_forward(x, p), p.roi_indices).apply((x,))[0]
