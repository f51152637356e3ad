"""Batch normalization as torchvision's networks use it: trainable, and frozen."""

import contextlib
from typing import Any

import chainer
import chainer.links as L

from chainfpn._typing import Variable
from chainfpn.functions._fixed_normalization import Statistics, add_relu, fixed_normalization, is_one_kernel
from chainfpn.functions._scale_shift import scale_shift


class BatchNormalization(L.BatchNormalization):
    """Chainer's batch normalization with torch's constants.

    ``eps`` is added to the variance; ``decay`` 0.9 is torch's momentum 0.1. The batch counter ``N`` may be missing
    from a weight file: PyTorch wrote none before 0.4.1, and a frozen layer has none.

    Args:
        size (int): Channels.
        eps (float): Added to the variance before the square root.
        decay (float): Weight of the past in the running statistics.

    Source:
        PyTorch 1.13 ``BatchNorm2d``.
    """

    N: Any

    def __init__(self, size: int, *, eps: float = 1e-5, decay: float = 0.9) -> None:
        super().__init__(size, eps=eps, decay=decay)

    @property
    def statistics(self) -> Statistics:
        """Statistics: what it normalizes by outside of training."""
        gamma, beta = self.gamma.array, self.beta.array  # (C,), (C,)
        return Statistics(gamma, beta, self.avg_mean, self.avg_var, self.eps, centered=True)

    def forward(self, x: Variable, residual: Variable | None = None, *, relu: bool = False, **kwargs: Any) -> Variable:
        """Normalize; add and rectify, as :func:`~chainfpn.links.layers.normalize` describes.

        Args:
            x (Variable): float16/32/64, (B, C, ...).
            residual (Variable or None): dtype and shape of x, added.
            relu (bool): Rectify in the end.
            **kwargs (bool): ``finetune``, as Chainer's.

        Returns:
            Variable: dtype and shape of x.
        """
        is_constant = not chainer.config.train and not chainer.config.enable_backprop
        if is_constant and is_one_kernel(x):
            return fixed_normalization(x, self.statistics, residual, relu=relu)  # (B, C, ...)
        return add_relu(super().forward(x, **kwargs), residual, relu)  # (B, C, ...)

    def serialize(self, serializer: chainer.AbstractSerializer) -> None:
        """Read or write the layer, leaving ``N`` as it is where the file has none.

        Args:
            serializer (chainer.AbstractSerializer): The reader or writer.
        """
        self._persistent.discard("N")
        try:
            super().serialize(serializer)
        finally:
            self._persistent.add("N")
        with contextlib.suppress(KeyError):  # the reader's word for "not in this file"
            self.N = serializer("N", self.N)


class FrozenBatchNormalization(chainer.Link):
    """Batch normalization whose statistics and affine terms never change.

    y = (x - avg_mean) * gamma / sqrt(avg_var + eps) + beta, with all four arrays persistent, not parameters: no
    optimizer sees them. Detectors trained with two images per GPU freeze the statistics of their trunk this way.

    Args:
        size (int): Channels.
        eps (float): Added to the variance before the square root.

    Source:
        torchvision 0.14 ``FrozenBatchNorm2d``.
    """

    def __init__(self, size: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        dtype = chainer.get_dtype(map_mixed16="float32")
        for name, value in (("gamma", 1), ("beta", 0), ("avg_mean", 0), ("avg_var", 1)):
            self.add_persistent(name, self.xp.full((size,), value, dtype=dtype))

    @property
    def statistics(self) -> Statistics:
        """Statistics: what it normalizes by."""
        return Statistics(self.gamma, self.beta, self.avg_mean, self.avg_var, self.eps, centered=False)

    def forward(self, x: Variable, residual: Variable | None = None, *, relu: bool = False) -> Variable:
        """Normalize; add and rectify: see :meth:`BatchNormalization.forward`.

        Returns:
            Variable: dtype and shape of x.
        """
        if is_one_kernel(x):
            return fixed_normalization(x, self.statistics, residual, relu=relu)  # (B, C, ...)
        scale = self.gamma / self.xp.sqrt(self.avg_var + self.avg_var.dtype.type(self.eps))  # (C,)
        y = scale_shift(x, scale, self.beta - self.avg_mean * scale)  # (B, C, ...)
        return add_relu(y, residual, relu)  # (B, C, ...)
