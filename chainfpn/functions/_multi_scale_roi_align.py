"""RoIAlign over a feature pyramid."""

import math

from chainfpn._typing import Array, Size, Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._arguments import check_map, check_roi_arguments
from chainfpn.functions._linear_map import LinearMap
from chainfpn.functions.kernels import kernels_for
from chainfpn.functions.kernels.geometry import LevelRule, Pyramid


def multi_scale_roi_align(
    xs: list[Variable],
    rois: Array,
    roi_indices: Array,
    outsize: int | Size,
    image_size: Size | list[Size],
    *,
    sampling_ratio: int = 2,
    canonical_scale: float = 224,
    canonical_level: int = 4,
    ratio_eps: float = 0.0,
    level_eps: float = 1e-6,
    aligned: bool = False,
) -> Variable:
    """Pool each RoI from the level of the pyramid that suits its size.

    A RoI of area A goes to level floor(canonical_level + log2(sqrt(A) / canonical_scale + ratio_eps) + level_eps),
    clipped to the levels there are; an empty or reversed RoI to the finest. There, ``roi_align`` pools it. The scale of
    a level is the power of two nearest to its height over the image's; level l has scale 2**-l.

    Args:
        xs (list of Variable): float16/32/64, (B, C, H_l, W_l), finest first, all of one dtype.
        rois (array): float32 or dtype of xs, (R', 4), yxyx, input-image pixels; not differentiated.
        roi_indices (array): int32, (R',), in [0, B), checked as :func:`roi_align` does.
        outsize (int or pair of ints): Rows and columns of bins.
        image_size (pair of ints or list of pairs): Height and width of the batch, or of each image.
        sampling_ratio (int): Samples per bin and axis; -1 or 0 takes ceil(side of the bin in feature pixels).
        canonical_scale (float): Side in image pixels of a RoI that belongs to ``canonical_level``.
        canonical_level (int): Its level.
        ratio_eps (float): See above; detectron2 has 1e-8, mmdetection 1e-6.
        level_eps (float): See above; detectron2 and mmdetection have 0.
        aligned (bool): See :func:`roi_align`.

    Returns:
        Variable: dtype of xs, (R', C, outh, outw), in the order of ``rois``.

    Raises:
        TypeError: if an array has the wrong dtype or device.
        ValueError: if there is no level, or a shape, an index or a size is out of range.

    Source:
        Lin et al. 2017 (FPN), equation 1; torchvision 0.14 ``MultiScaleRoIAlign``.

    Example:
        >>> import numpy as np
        >>> xs = [np.full((1, 1, side, side), side, np.float32) for side in (64, 32, 16, 8)]
        >>> rois = np.array([[0, 0, 32, 32], [0, 0, 224, 224]], np.float32)
        >>> multi_scale_roi_align(xs, rois, np.zeros(2, np.int32), 1, (256, 256)).array.ravel()
        array([64., 16.], dtype=float32)
    """
    name = "multi_scale_roi_align"
    if not xs:
        raise ValueError(f"{name}: xs must have at least one level, got none")
    for level, x in enumerate(xs):
        check_map(name, x, f"xs[{level}]")
        if x.dtype != xs[0].dtype or x.shape[:2] != xs[0].shape[:2]:
            rule, got = (f"{a.dtype} {a.shape[:2]}" for a in (xs[0], x))
            raise InvalidArgument(name, f"xs[{level}]", f"{rule} as xs[0] is", x, got=got)
    scales = [_scale(name, x, image_size) for x in xs]
    options: dict = {"sampling_ratio": sampling_ratio, "half_pixel": bool(aligned), "at_least_one": not aligned}
    p = check_roi_arguments(name, xs[0], rois, roi_indices, outsize, scales[0], **options)
    pyramid = Pyramid(tuple(scales), LevelRule(canonical_scale, canonical_level, ratio_eps, level_eps))
    shapes = [x.shape for x in xs]

    def forward(xs):
        return (kernels_for(xs[0]).pyramid_align_forward(xs, p, pyramid),)

    def transpose(gys):
        return tuple(kernels_for(gys[0]).pyramid_align_backward(gys[0], p, pyramid, shapes))

    return LinearMap(name, forward, transpose).apply(xs)[0]


def _scale(name, x, image_size):
    """Feature pixels per image pixel: the nearest power of two."""
    try:
        height = max(int(size[0]) for size in image_size) if isinstance(image_size[0], tuple | list) else image_size[0]
        return 2.0 ** round(math.log2(x.shape[2] / height))
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        raise InvalidArgument(name, "image_size", "(H, W) or a list of them", image_size) from None
