"""Pooling of regions of interest (RoIs): RoIAlign, RoI max pooling, and their position-sensitive relatives."""

import chainer

from chainfpn._typing import Array, Size, Variable
from chainfpn.functions._arguments import check_roi_arguments
from chainfpn.functions._linear_map import linear_map
from chainfpn.functions._max_map import MaxMap
from chainfpn.functions.kernels import kernels_for


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
        roi_indices (array): int32, (R',), in [0, B). On a GPU only Chainer's debug mode checks them, for the host would
            wait for the answer; a RoI of no image gives NaN there, and passes no gradient.
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
    return _linear_roi_op("roi_align", "align", x, p)


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
    learns = chainer.config.enable_backprop and getattr(x, "requires_grad", False)
    p = check_roi_arguments("roi_pool", x, rois, roi_indices, outsize, spatial_scale, learns=learns)
    return MaxMap("roi_pool", lambda x: kernels_for(x).pool_forward(x, p), p.roi_indices).apply((x,))[0]


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
    return _linear_roi_op("ps_roi_align", "ps_align", x, p)


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
    return _linear_roi_op("ps_roi_pool", "ps_pool", x, p)


def _linear_roi_op(label, kernel, x, p):
    """Apply the kernels whose names begin with ``kernel``: (B, C, H, W) to (R', C', outh, outw)."""
    x_shape = x.shape

    def forward(x):
        return getattr(kernels_for(x), f"{kernel}_forward")(x, p)

    def transpose(gy):
        return getattr(kernels_for(gy), f"{kernel}_backward")(gy, p, x_shape)

    return linear_map(label, x, forward, transpose)
