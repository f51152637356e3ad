"""What the RoI ops ask of their arguments: one sentence for each mistake."""

import math
import numbers
import operator

import chainer
import numpy as np
from chainer import backend

from chainfpn.functions.kernels import compute_dtype
from chainfpn.functions.kernels.geometry import RoIs

FLOATS = (np.float16, np.float32, np.float64)


def check_map(name, x, argument="x"):
    """Check a feature map.

    Args:
        name (str): The public function, for the message.
        x (Variable or array): The map.
        argument (str): Its name, for the message.

    Raises:
        TypeError: if it is no float array.
        ValueError: if it is not (B, C, H, W), or has no pixel.
    """
    if not isinstance(x, (chainer.Variable, *chainer.get_array_types())):
        raise TypeError(f"{name}: {argument} must be a Variable or an array, got {type(x).__name__}")
    if x.dtype not in FLOATS:
        raise TypeError(f"{name}: {argument} must be float16, float32 or float64, got {x.dtype}")
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ValueError(f"{name}: {argument} must be (B, C, H, W) with at least one pixel, got shape {x.shape}")


def check_outsize(name, outsize, argument="outsize", *, least=1):
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
        pair = tuple(operator.index(n) for n in pair)
    except TypeError:
        pair = ()
    if len(pair) != 2 or min(pair) < least:
        kind = "positive" if least else "non-negative"
        raise ValueError(f"{name}: {argument} must be a {kind} int or a pair of them, got {outsize!r}")
    return pair


def _check_rois(name, x, rois, roi_indices):
    rois, roi_indices = (a.array if isinstance(a, chainer.Variable) else a for a in (rois, roi_indices))
    xp = backend.get_array_module(x)
    for argument, value in (("rois", rois), ("roi_indices", roi_indices)):
        if not isinstance(value, xp.ndarray):
            kind = type(value).__module__.partition(".")[0] + "." + type(value).__name__
            raise TypeError(f"{name}: {argument} must be a {xp.__name__} array as x is, got {kind}")
    if rois.ndim != 2 or rois.shape[1] != 4:
        raise ValueError(f"{name}: rois must be (R, 4), got shape {rois.shape}")
    if rois.dtype not in (np.float32, x.dtype):
        allowed = "float32" if x.dtype == np.float32 else f"float32 or x's {x.dtype}"
        raise TypeError(f"{name}: rois must be {allowed}, got {rois.dtype}")
    if roi_indices.shape != (len(rois),):
        raise ValueError(f"{name}: roi_indices must be ({len(rois)},) as there are rois, got shape {roi_indices.shape}")
    if roi_indices.dtype.kind not in "iu":
        raise TypeError(f"{name}: roi_indices must be integers, got {roi_indices.dtype}")
    if len(rois):
        low, high = xp.stack([roi_indices.min(), roi_indices.max()]).tolist()  # one wait for the device
        if low < 0 or high >= len(x):
            wrong = low if low < 0 else high
            raise ValueError(f"{name}: roi_indices must be in [0, {len(x)}), got {wrong}")
    rois = xp.ascontiguousarray(rois, compute_dtype(x.dtype))
    return rois, xp.ascontiguousarray(roi_indices, np.int32)


def check_roi_arguments(name, x, rois, roi_indices, outsize, spatial_scale, *, sampling_ratio=-1, **options):
    """Check the arguments of a RoI op.

    Args:
        name (str): The public function, for the message.
        x (Variable or array): (B, C, H, W).
        rois (Variable or array): float32 or dtype of x, (R', 4).
        roi_indices (Variable or array): integers, (R',), in [0, B).
        outsize (int or pair of ints): Rows and columns of bins.
        spatial_scale (float): Feature pixels per image pixel.
        sampling_ratio (int): Samples per bin and axis; adaptive if not positive.
        **options (bool): The flags of ``RoIs``.

    Returns:
        RoIs: In the dtype the kernels compute in.

    Raises:
        TypeError: for the wrong type, dtype or device.
        ValueError: for the wrong shape, an index beyond the batch, a scale or size that is not positive.
    """
    check_map(name, x)
    rois, roi_indices = _check_rois(name, x, rois, roi_indices)
    outsize = check_outsize(name, outsize)
    if not isinstance(spatial_scale, numbers.Real) or not 0 < spatial_scale < math.inf:
        raise ValueError(f"{name}: spatial_scale must be > 0, got {spatial_scale!r}")
    if not isinstance(sampling_ratio, numbers.Integral):
        raise TypeError(f"{name}: sampling_ratio must be an int, got {sampling_ratio!r}")
    return RoIs(rois, roi_indices, outsize, float(spatial_scale), max(int(sampling_ratio), 0), **options)


def check_position_sensitive(name, x, outsize):
    """Check that the channels of ``x`` divide into the bins.

    Raises:
        ValueError: if they do not.
    """
    n_bins = outsize[0] * outsize[1]
    if x.shape[1] % n_bins:
        raise ValueError(f"{name}: x must have a multiple of outh * outw = {n_bins} channels, got {x.shape[1]}")
