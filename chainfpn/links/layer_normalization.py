"""Layer normalization of maps: over the channels of every pixel."""

import chainer
import chainer.functions as F

from chainfpn._typing import Variable
from chainfpn.functions.kernels import for_compiled, import_for_inference


class LayerNormalization(chainer.Link):
    """Normalize the channels of every pixel by their own mean and variance, then scale and shift each.

    Args:
        size (int): Channels.
        eps (float): Added to the variance before the square root.

    Source:
        Ba et al. 2016; torchvision 0.14 ``LayerNorm2d``, PyTorch 1.13 ``LayerNorm``.
    """

    def __init__(self, size: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        with self.init_scope():
            self.gamma = chainer.Parameter(1, size)
            self.beta = chainer.Parameter(0, size)

    def forward(self, x: Variable) -> Variable:
        """Normalize: without gradients on a CPU in one compiled pass.

        Args:
            x (Variable): float16/32/64, (B, size, ...).

        Returns:
            Variable: dtype and shape of x.
        """
        x = chainer.as_variable(x)  # (B, C, ...)
        arrays = (x.array, self.gamma.array, self.beta.array)  # (B, C, ...), (C,), (C,)
        if compiled := import_for_inference("numba_channels", *arrays):
            return chainer.as_variable(compiled.layer_norm(*map(for_compiled, arrays), self.eps))  # (B, C, ...)
        over = (-1, *[1] * (x.ndim - 2))  # (C, 1, ...)
        gamma, beta = (F.reshape(F.cast(param, x.dtype), over) for param in (self.gamma, self.beta))  # (C, 1, ...)
        centred = x - F.mean(x, axis=1, keepdims=True)  # (B, C, ...)
        variance = F.mean(F.square(centred), axis=1, keepdims=True)  # (B, 1, ...)
        return centred / F.sqrt(variance + self.eps) * gamma + beta  # (B, C, ...)
