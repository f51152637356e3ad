"""What images and the arguments of the RoI ops must be: one sentence for each mistake."""

import math
import numbers
import operator
from types import ModuleType

import chainer
import numpy as np
from chainer import backend

from chainfpn._typing import Array, Size, Variable
from chainfpn.errors import InvalidArgument, InvalidType
from chainfpn.functions.kernels import compute_dtype
from chainfpn.functions.kernels.convolution import Geometry
from chainfpn.functions.kernels.geometry import RoIs

FLOATS = (np.float16, np.float32, np.float64)


def check_map(name: str, x: Variable, argument: str = "x") -> None:
    """Check a feature map.

    Args:
        name (str): The public function, for the message.
        x (Variable or array): The map.
        argument (str): Its name, for the message.

    Raises:
        TypeError: if it is no float array.
        ValueError: if it is not (B, C, H, W), or has no pixel.
    """
    kinds: tuple = (chainer.Variable, *chainer.get_array_types())
    if not isinstance(x, kinds):
        raise InvalidType(name, argument, "a Variable or an array", x, got=type(x).__name__)
    if x.dtype not in FLOATS:
        raise InvalidType(name, argument, "float16, float32 or float64", x.dtype, got=str(x.dtype))
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise invalid_shape(name, argument, "(B, C, H, W) with at least one pixel", x.shape)


def check_image(name: str, img: Array, argument: str) -> None:
    """Check an image.

    Args:
        name (str): The public function, for the message.
        img (array): The image.
        argument (str): Its name, for the message.

    Raises:
        InvalidType: if it is no array.
        InvalidArgument: if it is not (3, H, W), or has no pixel.
    """
    if not isinstance(img, chainer.get_array_types()):
        rule = "an array (3, H, W), as chainfpn.images.to_array makes of a picture"
        raise InvalidType(name, argument, rule, img, got=type(img).__name__)
    if img.ndim != 3 or img.shape[0] != 3 or 0 in img.shape:
        raise invalid_shape(name, argument, "(3, H, W), not empty", img.shape)


def check_outsize(name: str, outsize: int | Size, argument: str = "outsize", *, least: int = 1) -> Size:
    """Read a size.

    Args:
        name (str): The public function, for the message.
        outsize (int or pair of ints): One number for both axes, or rows and columns.
        argument (str): Its name, for the message.
        least (int): The smallest number allowed, 0 or 1.

    Returns:
        tuple: Rows and columns.

    Raises:
        ValueError: if it is anything else, or smaller.
    """
    pair = outsize if isinstance(outsize, tuple | list) else (outsize, outsize)
    try:
        rows, columns = map(operator.index, pair)
    except (TypeError, ValueError):
        rows = columns = least - 1
    if min(rows, columns) < least:
        kind = "positive" if least else "non-negative"
        raise InvalidArgument(name, argument, f"a {kind} int or a pair of them", outsize)
    return rows, columns


def check_geometry(W, stride, pad, dilate, groups):
    """Return the geometry of a convolution by weights (O, C / groups, kh, kw); raise InvalidArgument if it is none."""
    if groups < 1 or len(W) % groups:
        raise InvalidArgument("convolution_2d", "groups", f"> 0 and divide W's {len(W)} output channels", groups)
    stride = check_outsize("convolution_2d", stride, "stride")
    pad = check_outsize("convolution_2d", pad, "pad", least=0)
    return Geometry(stride, pad, check_outsize("convolution_2d", dilate, "dilate"), groups)


def check_roi_arguments(
    name, x, rois, roi_indices, outsize, spatial_scale, *, sampling_ratio=-1, position_sensitive=False, **flags
):
    """Check the arguments of a RoI op.

    Args:
        name (str): The public function, for the message.
        x, rois, roi_indices, outsize, spatial_scale, sampling_ratio: See :func:`~chainfpn.functions.roi_align`.
        position_sensitive (bool): Whether each bin has channels of its own.
        **flags (bool): The flags of ``RoIs``.

    Returns:
        RoIs: In the dtype the kernels compute in.

    Raises:
        TypeError: for the wrong type, dtype or device.
        ValueError: for the wrong shape, an index beyond the batch, a scale or size that is not positive, or channels
            that do not divide into the bins.
    """
    check_map(name, x)
    rois, roi_indices = _check_rois(name, x, rois, roi_indices)
    outsize = check_outsize(name, outsize)
    if not isinstance(spatial_scale, numbers.Real) or not 0 < spatial_scale < math.inf:
        raise InvalidArgument(name, "spatial_scale", "> 0", spatial_scale)
    if not isinstance(sampling_ratio, numbers.Integral):
        raise InvalidType(name, "sampling_ratio", "an int", sampling_ratio)
    n_bins = math.prod(outsize)
    if position_sensitive and x.shape[1] % n_bins:
        raise ValueError(f"{name}: x must have a multiple of outh * outw = {n_bins} channels, got {x.shape[1]}")
    return RoIs(rois, roi_indices, outsize, float(spatial_scale), max(int(sampling_ratio), 0), **flags)


def reads_indices(xp: ModuleType) -> bool:
    """Return whether a check may read indices: on a GPU, where the host would wait for them, only in debug mode."""
    return xp is np or chainer.is_debug()


def invalid_shape(name: str, argument: str, rule: str, shape: tuple[int, ...]) -> InvalidArgument:
    """Return the error of an array of the wrong shape."""
    return InvalidArgument(name, argument, rule, shape, got=f"shape {shape}")


def _check_rois(name, x, rois, roi_indices):
    rois, roi_indices = (a.array if isinstance(a, chainer.Variable) else a for a in (rois, roi_indices))
    xp = backend.get_array_module(x)
    for argument, value in (("rois", rois), ("roi_indices", roi_indices)):
        if not isinstance(value, xp.ndarray):
            kind = type(value).__module__.partition(".")[0] + "." + type(value).__name__
            raise InvalidType(name, argument, f"a {xp.__name__} array as x is", value, got=kind)
    if rois.ndim != 2 or rois.shape[1] != 4:
        raise invalid_shape(name, "rois", "(R, 4)", rois.shape)
    if rois.dtype not in (np.float32, x.dtype):
        allowed = "float32" if x.dtype == np.float32 else f"float32 or x's {x.dtype}"
        raise InvalidType(name, "rois", allowed, rois.dtype, got=str(rois.dtype))
    if roi_indices.shape != (len(rois),):
        raise invalid_shape(name, "roi_indices", f"({len(rois)},) as there are rois", roi_indices.shape)
    if roi_indices.dtype.kind not in "iu":
        raise InvalidType(name, "roi_indices", "integers", roi_indices.dtype, got=str(roi_indices.dtype))
    if len(rois) and reads_indices(xp):
        low, high = xp.stack([roi_indices.min(), roi_indices.max()]).tolist()  # one wait for the device
        if low < 0 or high >= len(x):
            raise InvalidArgument(name, "roi_indices", f"in [0, {len(x)})", low if low < 0 else high)
    return xp.ascontiguousarray(rois, compute_dtype(x.dtype)), xp.ascontiguousarray(roi_indices, np.int32)
