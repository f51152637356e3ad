"""MobileNetV2, attribute for attribute torchvision's."""

from functools import partial

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import initializers

from chainfpn.links._conv_norm_activation import conv_norm_activation
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.classifier import Classifier, global_average
from chainfpn.links.indexed_sequential import IndexedSequential
from chainfpn.links.initialization import convolution

relu6 = partial(F.clipped_relu, z=6.0)


class InvertedResidual(chainer.Chain):
    """Widen by a 1x1, convolve each channel by itself, narrow by a 1x1 without activation.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out; where they equal those in and the stride is 1, the input is added.
        stride (int): Step of the middle convolution.
        expansion (int): Channels in the middle per channel in; 1 leaves the first convolution out.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        Sandler et al. 2018, figure 4d; torchvision 0.14 ``mobilenetv2.InvertedResidual``.
    """

    def __init__(self, in_channels, out_channels, *, stride, expansion, norm=BatchNormalization):
        super().__init__()
        self.residual = stride == 1 and in_channels == out_channels
        width = in_channels * expansion
        widen = [] if expansion == 1 else [conv_norm_activation(in_channels, width, 1, norm=norm, activation=relu6)]
        with self.init_scope():
            self.conv = IndexedSequential(
                *widen,  # (B, width, H, W)
                conv_norm_activation(width, width, stride=stride, groups=width, norm=norm, activation=relu6),
                convolution(width, out_channels, 1),  # (B, out_channels, H / stride, W / stride)
                norm(out_channels),
            )

    def forward(self, x):
        """Compute the block.

        Args:
            x (Variable): (B, in_channels, H, W).

        Returns:
            Variable: (B, out_channels, H / stride, W / stride).
        """
        h = self.conv(x)  # (B, out_channels, H/s, W/s)
        return x + h if self.residual else h  # (B, out_channels, H/s, W/s)


class MobileNetV2(Classifier):
    """Seventeen inverted residuals between two convolutions.

    The layers are ``features``, ``avgpool`` and ``classifier``; those of ``features`` can be picked as well, by the
    names torch gives them.

    Args:
        n_class (int): Class scores.
        width_mult (float): Factor on the channels of every layer.
        dropout (float): Share of the features dropped before the last layer in training.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        Sandler et al. 2018, table 2; torchvision 0.14 ``MobileNetV2``.
    """

    #: Expansion, channels, blocks and first stride of each stage.
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self, n_class=1000, *, width_mult=1.0, dropout=0.2, norm=BatchNormalization):
        super().__init__()
        self.n_class = n_class
        in_channels = divisible_by_8(32 * width_mult)
        layers = [conv_norm_activation(3, in_channels, stride=2, norm=norm, activation=relu6)]  # (B, 32, H/2, W/2)
        for expansion, channels, n, stride in self.stages:
            out_channels = divisible_by_8(channels * width_mult)
            for i in range(n):
                layers.append(
                    InvertedResidual(
                        in_channels, out_channels, stride=1 if i else stride, expansion=expansion, norm=norm
                    )
                )
                in_channels = out_channels
        last = divisible_by_8(1280 * max(1.0, width_mult))
        layers.append(conv_norm_activation(in_channels, last, 1, norm=norm, activation=relu6))
        with self.init_scope():
            self.features = IndexedSequential(*layers)  # (B, 1280, H/32, W/32)
            self.avgpool = global_average  # (B, 1280)
            self.classifier = IndexedSequential(
                partial(F.dropout, ratio=dropout),
                L.Linear(last, n_class, initialW=initializers.Normal(0.01)),  # (B, n_class)
            )


def divisible_by_8(channels):
    """Round a number of channels to a multiple of 8, but never down by more than a tenth.

    Args:
        channels (float): The number.

    Returns:
        int: The multiple, at least 8.

    Source:
        torchvision 0.14 ``_make_divisible``.
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
