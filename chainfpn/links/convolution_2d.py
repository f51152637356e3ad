"""The convolution of all networks here."""

import chainer
import chainer.links as L

from chainfpn._typing import Variable
from chainfpn.functions._convolution_2d import convolution_2d


class Convolution2D(L.Convolution2D):
    """Chainer's convolution, computed by :func:`chainfpn.functions.convolution_2d`: faster on the CPU.

    Arguments, parameters and what is written to files are ``chainer.links.Convolution2D``'s.
    """

    def forward(self, x: Variable) -> Variable:
        """Convolve.

        Args:
            x (Variable): float16/32/64, (B, in_channels, H, W).

        Returns:
            Variable: dtype of x, (B, out_channels, outh, outw).
        """
        x = chainer.as_variable(x)  # (B, C, H, W)
        if self.cudnn_fast or x.xp is not self.xp:
            return super().forward(x)  # (B, O, outh, outw)
        if self.W.raw_array is None:
            self._initialize_params(x.shape[1])
        options = {"dilate": self.dilate, "groups": self.groups}
        return convolution_2d(x, self.W, self.b, self.stride, self.pad, **options)  # (B, O, outh, outw)
