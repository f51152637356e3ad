"""Squeeze and excitation."""

import math
from collections.abc import Callable

import chainer
import chainer.functions as F
import numpy as np
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.functions.kernels import import_for_inference
from chainfpn.links.layers import Convolution2D


class SqueezeExcitation(chainer.Chain):
    """Weigh the channels by what all of them are on average.

    Args:
        channels (int): Channels in and out.
        squeezed (int): Channels in between.
        activation (callable): Between the two layers.
        gate (callable): What makes weights of the second layer's output.
        zero_bias (bool): Start with biases of zero; else they are uniform, as torch makes those that nobody sets.

    Source:
        Hu et al. 2017; torchvision 0.14 ``SqueezeExcitation``, with its two fully connected layers as convolutions.
    """

    def __init__(
        self,
        channels: int,
        squeezed: int,
        *,
        activation: Callable = F.relu,
        gate: Callable = F.sigmoid,
        zero_bias: bool = True,
    ) -> None:
        super().__init__()
        self.activation, self.gate = activation, gate
        initial = initializers.HeNormal(fan_option="fan_out")
        biases = (0 if zero_bias else initializers.Uniform(1 / math.sqrt(fan_in)) for fan_in in (channels, squeezed))
        with self.init_scope():
            self.fc1 = Convolution2D(channels, squeezed, 1, initialW=initial, initial_bias=next(biases))
            self.fc2 = Convolution2D(squeezed, channels, 1, initialW=initial, initial_bias=next(biases))

    def forward(self, x: Variable) -> Variable:
        """Weigh the channels.

        Args:
            x (Variable): (B, channels, H, W).

        Returns:
            Variable: (B, channels, H, W).
        """
        h = F.mean(x, axis=(2, 3), keepdims=True)  # (B, C, 1, 1)
        h = self.gate(self.fc2(self.activation(self.fc1(h))))  # (B, C, 1, 1)
        arrays = chainer.as_variable(x).array, h.array  # (B, C, H, W), (B, C, 1, 1)
        if compiled := import_for_inference("numba_channels", *arrays):
            return chainer.as_variable(compiled.weigh(*map(np.ascontiguousarray, arrays)))  # (B, C, H, W)
        return F.broadcast_to(h, x.shape) * x  # (B, C, H, W)
