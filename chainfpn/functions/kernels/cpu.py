"""The RoI ops on NumPy arrays of any float dtype and layout, by Numba where it is installed, by plain NumPy otherwise.

float16 is computed in float32.
"""

import functools
import warnings

import numpy as np

from chainfpn.functions.kernels import compute_dtype, geometry, round_down


@functools.cache
def engine():
    """Import the engine: on the first call only, so that importing chainfpn stays light.

    Returns:
        module: ``numba_engine``, or ``numpy_engine`` after one warning.
    """
    try:
        import numba  # noqa: F401
    except ImportError as error:
        warnings.warn(
            f"chainfpn: without Numba ({error}) RoI ops and NMS run on NumPy, slower; pip install 'chainfpn[cpu]'",
            RuntimeWarning,
            stacklevel=2,
        )
        from chainfpn.functions.kernels import numpy_engine

        return numpy_engine
    from chainfpn.functions.kernels import numba_engine

    return numba_engine


def _prepare(x):
    return np.ascontiguousarray(x, compute_dtype(x.dtype))


def align_forward(x, p):
    """Run roi_align: (B, C, H, W) and ``geometry.RoIs`` to (R', C, outh, outw)."""
    return engine().align_forward(_prepare(x), p).astype(x.dtype, copy=False)


def align_backward(gy, p, x_shape):
    """Run the transpose of ``align_forward``."""
    return engine().align_backward(_prepare(gy), p, x_shape).astype(gy.dtype, copy=False)


def ps_align_forward(x, p):
    """Run ps_roi_align: (B, C * outh * outw, H, W) and ``geometry.RoIs`` to (R', C, outh, outw)."""
    return engine().ps_align_forward(_prepare(x), p).astype(x.dtype, copy=False)


def ps_align_backward(gy, p, x_shape):
    """Run the transpose of ``ps_align_forward``."""
    return engine().ps_align_backward(_prepare(gy), p, x_shape).astype(gy.dtype, copy=False)


def ps_pool_forward(x, p):
    """Run ps_roi_pool: (B, C * outh * outw, H, W) and ``geometry.RoIs`` to (R', C, outh, outw)."""
    windows = geometry.ps_roi_pool_windows(p, x.shape[2:])
    return engine().ps_mean_forward(_prepare(x), windows, p.roi_indices).astype(x.dtype, copy=False)


def ps_pool_backward(gy, p, x_shape):
    """Run the transpose of ``ps_pool_forward``."""
    windows = geometry.ps_roi_pool_windows(p, x_shape[2:])
    return engine().ps_mean_backward(_prepare(gy), windows, p.roi_indices, x_shape).astype(gy.dtype, copy=False)


def pool_forward(x, p):
    """Run roi_pool.

    Args:
        x (array): (B, C, H, W).
        p (geometry.RoIs): The RoIs.

    Returns:
        tuple: Maxima (R', C, outh, outw), and int32 pixels of the plane, -1 for none.
    """
    windows = geometry.roi_pool_windows(p, x.shape[2:])
    y, argmax = engine().max_forward(_prepare(x), windows, p.roi_indices, float(np.finfo(x.dtype).min))
    return y.astype(x.dtype, copy=False), argmax


def adaptive_max_forward(x, outsize):
    """Take the maximum over a grid of windows of the whole map: as ``pool_forward``, one RoI per image."""
    windows = geometry.adaptive_windows(len(x), outsize, x.shape[2:])
    y, argmax = engine().max_forward(_prepare(x), windows, np.arange(len(x), dtype=np.int32), -np.inf)
    return y.astype(x.dtype, copy=False), argmax


def scatter(gy, argmax, roi_indices, x_shape):
    """Add each gradient to the pixel its maximum came from: the backward of both maxima."""
    return engine().scatter(_prepare(gy), argmax, roi_indices, x_shape).astype(gy.dtype, copy=False)


def suppress(boxes, label, thresh, limit):
    """Keep each box that no earlier kept box of its label overlaps by more than ``thresh``.

    Args:
        boxes (array): float, (R, 4), yxyx, in groups of one label, best first in each.
        label (array): int64, (R,).
        thresh (float): The largest overlap allowed.
        limit (int): Boxes to keep at most.

    Returns:
        array: bool, (R,).
    """
    boxes = _prepare(boxes)
    return engine().suppress(boxes, label, round_down(thresh, boxes.dtype), limit)


def match(boxes, objects, low_quality):
    """Find the object that each box overlaps most, the first of equals.

    Args:
        boxes (array): float, (N, 4), yxyx, N > 0.
        objects (array): float, (R, 4), yxyx, none empty, R > 0.
        low_quality (bool): Whether the third result is wanted.

    Returns:
        tuple of array: The object, int64, (N,); the IoU, (N,); and which boxes no other overlaps some object more
        than, bool, (N,), all False if not wanted.
    """
    dtype = np.result_type(boxes.dtype, objects.dtype, np.float32)
    return engine().match(_prepare_sides(boxes, dtype), _prepare_sides(objects, dtype), low_quality)


def _prepare_sides(boxes, dtype):
    return np.ascontiguousarray(boxes.T, dtype)  # (4, N)
