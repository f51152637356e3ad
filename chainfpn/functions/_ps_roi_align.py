"""Position-sensitive RoIAlign."""

from chainfpn._typing import Array, Size, Variable
from chainfpn.functions._arguments import check_roi_arguments
from chainfpn.functions._linear_map import linear_roi_op


def ps_roi_align(
    x: Variable, rois: Array, roi_indices: Array, outsize: int | Size, spatial_scale: float, *, sampling_ratio: int = -1
) -> Variable:
    """Pool each RoI to a fixed grid by the mean of bilinear samples, each bin from channels of its own.

    Bin (i, j) of output channel c reads input channel ``(c * outh + i) * outw + j``. Pixel centres lie at .5 and no
    side is enlarged: an empty RoI samples one line or point, a reversed one is sampled backwards. Adaptive sampling
    takes no sample of an empty or reversed side and gives zeros (torchvision divides 0 by 0). Samples outside the map,
    NaNs and far coordinates as in ``roi_align``.

    Args:
        x (Variable): float16/32/64, (B, C * outh * outw, H, W).
        rois, roi_indices, outsize, spatial_scale, sampling_ratio: As in :func:`roi_align`.

    Returns:
        Variable: dtype of x, (R', C, outh, outw). float16 is computed in float32.

    Raises:
        TypeError: if an array has the wrong dtype or device.
        ValueError: if a shape, an index or ``spatial_scale`` is out of range, or the channels do not divide into bins.

    Source:
        Li et al. 2018 (Light-Head R-CNN); torchvision 0.14 ``ps_roi_align``.

    Example:
        >>> import numpy as np
        >>> x = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1) * np.ones((4, 4), np.float32)
        >>> rois = np.array([[0, 0, 4, 4]], np.float32)
        >>> ps_roi_align(x, rois, np.array([0], np.int32), 2, 1.0).array
        array([[[[0., 1.],
                 [2., 3.]]]], dtype=float32)
    """
    options: dict = {"sampling_ratio": sampling_ratio, "half_pixel": True, "position_sensitive": True}
    p = check_roi_arguments("ps_roi_align", x, rois, roi_indices, outsize, spatial_scale, **options)
    return linear_roi_op("ps_roi_align", "ps_align", x, p)
