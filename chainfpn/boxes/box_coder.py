"""Between boxes and what a network regresses: the one module where yxyx meets torch's x-first order."""

import math
from collections.abc import Sequence

import chainer
import chainer.functions as F
import numpy as np
from chainer import backend
from chainer.backends import cuda

from chainfpn._typing import Array, Variable
from chainfpn.functions.kernels import compute_dtype

#: Largest log-scale a network may ask for: a box grows at most 1000 / 16 times.
MAX_LOG_SCALE = math.log(1000.0 / 16)


class BoxCoder:
    """Encode boxes relative to reference boxes, and back.

    dx = wx * (x_c - x_ref) / w_ref, dy alike; dw = ww * log(w / w_ref), dh alike. The four numbers are in torch's order
    (dx, dy, dw, dh) so that weights need no reordering; boxes are yxyx.

    Args:
        weights (sequence of float): (wx, wy, ww, wh).
        min_log_scale (float or None): Smallest dw and dh that are decoded, once divided by their weights; None is none.

    Source:
        Girshick et al. 2014, appendix C; torchvision 0.14 ``BoxCoder``.

    Example:
        >>> import numpy as np
        >>> reference = np.array([[0.0, 0.0, 10.0, 20.0]])
        >>> BoxCoder((1, 1, 1, 1)).decode(np.array([[0.5, 0.0, 0.0, 0.0]]), reference)
        array([[[ 0., 10., 10., 30.]]])
    """

    def __init__(self, weights: Sequence[float], *, min_log_scale: float | None = None) -> None:
        self.weights = tuple(float(w) for w in weights)
        self.min_log_scale = min_log_scale

    def decode(self, deltas: Variable, reference: Array) -> Variable:
        """Apply deltas to boxes.

        Args:
            deltas (Variable or array): float, (R, 4 * K): K times (dx, dy, dw, dh) for every box.
            reference (array): float, (R, 4), yxyx.

        Returns:
            Variable or array: as deltas, but float32 at least, (R, K, 4), yxyx.
        """
        limits = -math.inf if self.min_log_scale is None else self.min_log_scale, MAX_LOG_SCALE
        if isinstance(deltas, cuda.ndarray):
            return self._decode_on_gpu(deltas, reference, *limits)
        deltas = _precise(deltas)
        functions = F if isinstance(deltas, chainer.Variable) else np  # a log-scale that is cut off has no gradient
        reference = reference.astype(deltas.dtype, copy=False)
        height = (reference[:, 2] - reference[:, 0])[:, None]  # (R, 1)
        width = (reference[:, 3] - reference[:, 1])[:, None]
        y = reference[:, 0, None] + 0.5 * height
        x = reference[:, 1, None] + 0.5 * width
        wx, wy, ww, wh = self.weights
        deltas = deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)  # (R, K, 4)
        y = deltas[..., 1] / wy * height + y  # (R, K)
        x = deltas[..., 0] / wx * width + x
        half_height = 0.5 * (functions.exp(functions.clip(deltas[..., 3] / wh, *limits)) * height)
        half_width = 0.5 * (functions.exp(functions.clip(deltas[..., 2] / ww, *limits)) * width)
        return functions.stack((y - half_height, x - half_width, y + half_height, x + half_width), axis=-1)

    def _decode_on_gpu(self, deltas, reference, *limits):
        """Do the same, a box a thread."""
        n_boxes = deltas.shape[1] // 4
        bbox = backend.get_array_module(deltas).empty((len(deltas), n_boxes, 4), compute_dtype(deltas.dtype))
        cuda.elementwise(
            "raw T deltas, raw S reference, int32 n_boxes, "
            "float64 wx, float64 wy, float64 ww, float64 wh, float64 min_log_scale, float64 max_log_scale",
            "raw U bbox",
            """
            U corner[4], weight[] = {(U)wx, (U)wy, (U)ww, (U)wh}, delta[4];
            for (int k = 0; k < 4; ++k) {
                corner[k] = reference[i / n_boxes * 4 + k];
                delta[k] = (U)deltas[4 * i + k] / weight[k];
            }
            for (int axis = 0; axis < 2; ++axis) {  // y, x
                const U size = corner[axis + 2] - corner[axis], low = min_log_scale, high = max_log_scale;
                const U log_scale = delta[3 - axis] > high ? high : delta[3 - axis] < low ? low : delta[3 - axis];
                const U centre = delta[1 - axis] * size + (corner[axis] + (U)0.5 * size);
                const U half = (U)0.5 * (exp(log_scale) * size);
                bbox[4 * i + axis] = centre - half;
                bbox[4 * i + axis + 2] = centre + half;
            }
            """,
            "decode_boxes",
            options=("--fmad=false",),
        )(deltas, reference, max(n_boxes, 1), *self.weights, *limits, bbox, size=len(deltas) * n_boxes)
        return bbox

    def encode(self, bbox: Array, reference: Array) -> Array:
        """Describe boxes relative to reference boxes.

        Args:
            bbox (array): float, (R, 4), yxyx, each with a positive height and width.
            reference (array): float, (R, 4), yxyx, likewise.

        Returns:
            array: dtype of bbox, (R, 4): dx, dy, dw, dh.
        """
        reference = reference.astype(bbox.dtype, copy=False)
        if backend.get_array_module(bbox) is not np:
            return self._encode_on_gpu(bbox, reference)
        ref_size = reference[:, 2:] - reference[:, :2]  # (R, 2): height, width
        size = bbox[:, 2:] - bbox[:, :2]
        shift = ((bbox[:, :2] + 0.5 * size) - (reference[:, :2] + 0.5 * ref_size)) / ref_size
        scale = np.log(size / ref_size)
        wx, wy, ww, wh = self.weights
        return np.stack((wx * shift[:, 1], wy * shift[:, 0], ww * scale[:, 1], wh * scale[:, 0]), axis=1)

    def _encode_on_gpu(self, bbox, reference):
        """Do the same, a box a thread."""
        deltas = backend.get_array_module(bbox).empty(bbox.shape, bbox.dtype)
        cuda.elementwise(
            "raw T bbox, raw T reference, T wx, T wy, T ww, T wh",
            "raw T deltas",
            """
            const T weight[] = {wx, wy, ww, wh};
            for (int axis = 0; axis < 2; ++axis) {  // y, x
                const T low = bbox[4 * i + axis], size = bbox[4 * i + axis + 2] - low;
                const T ref_low = reference[4 * i + axis], ref_size = reference[4 * i + axis + 2] - ref_low;
                const T shift = ((low + (T)0.5 * size) - (ref_low + (T)0.5 * ref_size)) / ref_size;
                deltas[4 * i + 1 - axis] = weight[1 - axis] * shift;
                deltas[4 * i + 3 - axis] = weight[3 - axis] * log(size / ref_size);
            }
            """,
            "encode_boxes",
            options=("--fmad=false",),
        )(bbox, reference, *self.weights, deltas, size=len(bbox))
        return deltas


def _precise(deltas):
    """Cast to float32 at least: boxes in float16 would be off by a pixel, and their areas overflow."""
    dtype = compute_dtype(deltas.dtype)
    return F.cast(deltas, dtype) if isinstance(deltas, chainer.Variable) else deltas.astype(dtype, copy=False)


class LinearBoxCoder:
    """Describe boxes by the distances of their sides from the centre of reference boxes.

    The four numbers are left, top, right and bottom; boxes are yxyx.

    Args:
        normalize_by_size (bool): They are in widths and heights of the reference box; else in pixels.

    Source:
        Tian et al. 2019, section 3.1; torchvision 0.14 ``BoxLinearCoder``.

    Example:
        >>> import numpy as np
        >>> LinearBoxCoder().decode(np.array([[1.0, 0.5, 2.0, 0.0]]), np.array([[0.0, 0.0, 8.0, 8.0]]))
        array([[[ 0., -4.,  4., 20.]]])
    """

    def __init__(self, *, normalize_by_size: bool = True) -> None:
        self.normalize_by_size = normalize_by_size

    def decode(self, deltas: Variable, reference: Array) -> Variable:
        """Apply distances to boxes.

        Args:
            deltas (Variable or array): As for :meth:`BoxCoder.decode`, but K times (left, top, right, bottom).
            reference (array): float, (R, 4), yxyx.

        Returns:
            Variable or array: As of :meth:`BoxCoder.decode`.
        """
        deltas = _precise(deltas)
        concatenate = F.concat if isinstance(deltas, chainer.Variable) else backend.get_array_module(deltas).concatenate
        centre, size = self._centre_and_size(reference.astype(deltas.dtype, copy=False))
        deltas = deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)
        deltas = deltas[..., [1, 0, 3, 2]]  # (R, K, 4): top, left, bottom, right
        top_left = centre[:, None] - deltas[..., :2] * size[:, None]  # (R, K, 2)
        bottom_right = centre[:, None] + deltas[..., 2:] * size[:, None]
        return concatenate((top_left, bottom_right), axis=-1)

    def encode(self, bbox: Array, reference: Array) -> Array:
        """Describe boxes relative to reference boxes.

        Args:
            bbox (array): float, (R, 4), yxyx.
            reference (array): float, (R, 4), yxyx, each with a positive height and width.

        Returns:
            array: dtype of bbox, (R, 4): left, top, right, bottom.
        """
        xp = backend.get_array_module(bbox)
        centre, size = self._centre_and_size(reference.astype(bbox.dtype, copy=False))
        top, left = ((centre - bbox[:, :2]) / size).T
        bottom, right = ((bbox[:, 2:] - centre) / size).T
        return xp.stack((left, top, right, bottom), axis=1)

    def _centre_and_size(self, reference):
        """Return the centres of boxes and the unit of distances, (R, 2) both."""
        size = reference[:, 2:] - reference[:, :2]
        unit = size if self.normalize_by_size else backend.get_array_module(size).ones_like(size)
        return 0.5 * (reference[:, :2] + reference[:, 2:]), unit
