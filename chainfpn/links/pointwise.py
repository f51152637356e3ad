"""A fully connected layer over the channels of every pixel."""

import chainer.functions as F
import chainer.links as L
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.functions import convolution_2d


class Pointwise(L.Linear):
    """A linear layer, applied to the channels of every pixel: what torch applies to maps with their channels last.

    Weights start as normal numbers with a deviation of 0.02.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        nobias (bool): Leave the bias out.
    """

    def __init__(self, in_channels: int, out_channels: int, *, nobias: bool = False) -> None:
        super().__init__(in_channels, out_channels, nobias=nobias, initialW=initializers.Normal(0.02))

    def forward(self, x: Variable) -> Variable:
        """Apply the layer: (B, in_channels, H, W) to (B, out_channels, H, W)."""
        return convolution_2d(x, F.reshape(self.W, (*self.W.shape, 1, 1)), self.b)  # (B, out_channels, H, W)
