"""A maximum over windows as a function node: its gradient follows the argmax."""

from collections.abc import Callable

import numpy as np
from chainer import backend

from chainfpn._typing import Array, Variable
from chainfpn.functions._linear_map import GradientNode, linear_map
from chainfpn.functions.kernels import kernels_for


class MaxMap(GradientNode):
    """Take maxima of an image's pixels; the gradient goes to the pixels they came from.

    Args:
        label (str): Name shown in dumps of the graph.
        forward (callable): Array (B, C, H, W) to maxima (R', C, outh, outw) and int32 pixels of the plane, -1 for none.
        roi_indices (array): int32, (R',), image of each row of the maxima.
    """

    label = None

    def __init__(self, label: str, forward: Callable, roi_indices: Array) -> None:
        super().__init__()
        self.label, self._forward, self._roi_indices = label, forward, roi_indices

    def forward(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Take the maxima and remember where they were."""
        (x,) = inputs
        y, self._argmax = self._forward(x)
        self._x_shape = x.shape
        return (y,)

    def backward(self, indexes: tuple[int, ...], gys: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """Send each gradient to its pixel; this is linear, so it can be differentiated again."""
        where = self._argmax, self._roi_indices

        def scatter(gy):
            return kernels_for(gy).scatter(gy, *where, self._x_shape)

        return (linear_map(f"grad of {self.label}", gys[0], scatter, lambda ggx: _gather(ggx, *where)),)


def _gather(x, argmax, roi_indices):
    """Read the pixel of each maximum: (B, C, H, W) to the shape of ``argmax``; 0 where there is none."""
    xp = backend.get_array_module(x)
    planes = roi_indices.astype(np.int64)[:, None] * x.shape[1] + xp.arange(x.shape[1])  # (R', C)
    place = planes[:, :, None, None] * (x.shape[2] * x.shape[3]) + xp.maximum(argmax, 0)
    found = argmax >= 0
    if not place.size:
        return xp.zeros(argmax.shape, x.dtype)
    return xp.where(found, x.ravel()[place], xp.zeros((), x.dtype))
