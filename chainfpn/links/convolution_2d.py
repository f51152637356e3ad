"""The convolution and the fully connected layer of all networks here: Chainer's, computed faster on a CPU."""

import chainer
import chainer.links as L

from chainfpn._typing import Variable
from chainfpn.functions._convolution_2d import convolution_2d, fused_convolution_2d
from chainfpn.functions._fixed_normalization import Statistics
from chainfpn.functions._linear_map import linear


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
        if (y := self.fused(x)) is not None:
            return y  # (B, O, outh, outw)
        options = {"dilate": self.dilate, "groups": self.groups}
        return convolution_2d(x, self.W, self.b, self.stride, self.pad, **options)  # (B, O, outh, outw)

    def fused(
        self, x: Variable, statistics: Statistics | None = None, residual: Variable | None = None, *, relu: bool = False
    ) -> Variable | None:
        """Convolve, normalize by fixed statistics, add and rectify; None where this is not one way to compute it.

        Args:
            x (Variable): float, (B, in_channels, H, W).
            statistics (Statistics or None): Of a normalization.
            residual (Variable or None): dtype of x, (B, out_channels, outh, outw), added.
            relu (bool): Rectify in the end.

        Returns:
            Variable or None: dtype of x, (B, out_channels, outh, outw).
        """
        if self.W.raw_array is None:
            return None
        return fused_convolution_2d(x, self, statistics, residual, relu=relu)  # (B, O, outh, outw)


class Linear(L.Linear):
    """Chainer's fully connected layer, computed by our threads on a CPU, which leave none that spins behind.

    Arguments, parameters and what is written to files are ``chainer.links.Linear``'s.
    """

    def forward(self, x: Variable, n_batch_axes: int = 1) -> Variable:
        """Apply the layer.

        Args:
            x (Variable): float16/32/64, (B, ...).
            n_batch_axes (int): Axes that are kept; more than 1 is Chainer's way.

        Returns:
            Variable: dtype of x, (B, out_size).
        """
        x = chainer.as_variable(x)
        if self.W.raw_array is None or n_batch_axes != 1:
            return super().forward(x, n_batch_axes)
        return linear(x, self.W, self.b)
