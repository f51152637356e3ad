"""RoIAlign."""

from chainfpn._typing import Array, Size, Variable
from chainfpn.functions._arguments import check_roi_arguments
from chainfpn.functions._linear_map import linear_roi_op


def roi_align(
    x: Variable,
    rois: Array,
    roi_indices: Array,
    outsize: int | Size,
    spatial_scale: float,
    *,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Variable:
    """Pool each RoI to a fixed grid by the mean of bilinear samples.

    Each bin is the mean of ``sampling_ratio`` x ``sampling_ratio`` samples on a regular grid. A sample up to one pixel
    outside the map reads its border, farther out it counts as 0. Without ``aligned`` a side shorter than one feature
    pixel is enlarged to one, so empty and reversed RoIs are one pixel; with it, an empty RoI samples one line or point
    and a reversed one is sampled backwards. Adaptive sampling takes no sample of an empty or reversed side: zeros. A
    RoI with a NaN gives zeros and passes no gradient; coordinates are clipped at 2**20 feature pixels.

    Args:
        x (Variable): float16/32/64, (B, C, H, W).
        rois (array): float32 or dtype of x, (R', 4), yxyx, input-image pixels; not differentiated.
        roi_indices (array): int32, (R',), in [0, B).
        outsize (int or pair of ints): Rows and columns of bins.
        spatial_scale (float): Feature pixels per image pixel, e.g. 1/16.
        sampling_ratio (int): Samples per bin and axis; -1 or 0 takes ceil(side of the bin in feature pixels).
        aligned (bool): Whether pixel centres lie at .5, as in detectron2; torchvision's default is False.

    Returns:
        Variable: dtype of x, (R', C, outh, outw). float16 is computed in float32.

    Raises:
        TypeError: if an array has the wrong dtype or device.
        ValueError: if a shape, an index or ``spatial_scale`` is out of range.

    Source:
        He et al. 2017, section 3; torchvision 0.14 ``roi_align``.

    Example:
        >>> import numpy as np
        >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
        >>> rois = np.array([[0, 0, 2, 2]], np.float32)
        >>> roi_align(x, rois, np.array([0], np.int32), 1, 1.0, sampling_ratio=2).array
        array([[[[5.]]]], dtype=float32)
    """
    options: dict = {"sampling_ratio": sampling_ratio, "half_pixel": bool(aligned), "at_least_one": not aligned}
    p = check_roi_arguments("roi_align", x, rois, roi_indices, outsize, spatial_scale, **options)
    return linear_roi_op("roi_align", "align", x, p)
