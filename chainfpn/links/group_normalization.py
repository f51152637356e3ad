"""Group normalization as torchvision's detectors use it."""

import math

import chainer
import chainer.links as L
import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._fixed_normalization import Statistics, add_relu, fixed_normalization


class GroupNormalization(L.GroupNormalization):
    """Chainer's group normalization, constructed with a number of channels as the other normalizations are.

    It has the names ``gamma`` and ``beta`` of batch normalization, and no statistics: it is the same in training and in
    test mode, and for any size of batch.

    Args:
        size (int): Channels, a multiple of ``groups``.
        groups (int): Groups that share a mean and a variance.
        eps (float): Added to the variance before the square root.

    Raises:
        ValueError: if ``size`` is not a multiple of ``groups``.

    Source:
        Wu and He 2018; torchvision 0.14 ``retinanet_resnet50_fpn_v2``, ``FCOSHead`` (the numbers).
    """

    def __init__(self, size: int, *, groups: int = 32, eps: float = 1e-5) -> None:
        if size % groups:
            raise InvalidArgument("GroupNormalization", "size", f"a multiple of groups = {groups}", size)
        super().__init__(groups, size, eps=eps)

    def forward(self, x: Variable, residual: Variable | None = None, *, relu: bool = False) -> Variable:
        """Normalize; add and rectify: see :meth:`~chainfpn.links.BatchNormalization.forward`.

        Returns:
            Variable: dtype and shape of x.
        """
        array = chainer.as_variable(x).array  # (B, C, ...)
        if not chainer.config.enable_backprop and isinstance(array, cuda.ndarray):
            return fixed_normalization(x, self._statistics(array), residual, relu=relu)  # (B, C, ...)
        return add_relu(super().forward(x), residual, relu)  # (B, C, ...)

    def _statistics(self, x):
        """Compute the mean and variance of each group of an image, in the precision of gamma at least."""
        dtype = np.promote_types(x.dtype, self.gamma.dtype)
        gamma, beta = (param.array.astype(dtype, copy=False) for param in (self.gamma, self.beta))
        groups = x.reshape(len(x) * self.groups, math.prod(x.shape[1:]) // self.groups)
        mean = groups.mean(axis=1, dtype=dtype)
        squares = cuda.reduce(
            "T x, U mean", "U sum", "((U)x - mean) * ((U)x - mean)", "a + b", "sum = a", "0", "sum_of_squares"
        )(groups, mean[:, None], axis=1)
        var = squares / dtype.type(max(groups.shape[1], 1))
        return Statistics(gamma, beta, mean, var, self.eps, centered=True, n_together=x.shape[1] // self.groups)
