"""MobileNetV2, attribute for attribute torchvision's."""

from collections.abc import Callable
from functools import partial

import chainer.functions as F
from chainer import initializers

from chainfpn._divisible import make_divisible
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.blocks import Residual, conv_norm_activation, relu6
from chainfpn.links.classifier import Classifier, global_average
from chainfpn.links.layers import IndexedSequential, Linear, convolution


class InvertedResidual(Residual):
    """Expand by a 1x1, convolve depthwise, project by a 1x1 without activation.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out; where they equal those in and the stride is 1, the input is added.
        stride (int): Step of the depthwise convolution.
        expansion (int): Channels in the middle per channel in; 1 leaves the first convolution out.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        Sandler et al. 2018, figure 4d; torchvision 0.14 ``mobilenetv2.InvertedResidual``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, expansion: int, norm: Callable = BatchNormalization
    ) -> None:
        width, block = in_channels * expansion, partial(conv_norm_activation, norm=norm, activation=relu6)
        layers = [
            *([] if expansion == 1 else [block(in_channels, width, 1)]),  # (B, width, H, W)
            block(width, width, stride=stride, groups=width),  # (B, width, H / stride, W / stride)
            convolution(width, out_channels, 1),  # (B, out_channels, H / stride, W / stride)
            norm(out_channels),
        ]
        super().__init__("conv", layers, residual=stride == 1 and in_channels == out_channels)


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

    def __init__(
        self, n_class: int = 1000, *, width_mult: float = 1.0, dropout: float = 0.2, norm: Callable = BatchNormalization
    ) -> None:
        super().__init__()
        self.n_class = n_class
        block = partial(conv_norm_activation, norm=norm, activation=relu6)
        in_channels = make_divisible(32 * width_mult)
        layers = [block(3, in_channels, stride=2)]  # (B, 32, H/2, W/2)
        for expansion, channels, n, stride in self.stages:
            out_channels = make_divisible(channels * width_mult)
            for step in (stride, *[1] * (n - 1)):
                layers.append(InvertedResidual(in_channels, out_channels, stride=step, expansion=expansion, norm=norm))
                in_channels = out_channels
        last = make_divisible(1280 * max(1.0, width_mult))
        layers.append(block(in_channels, last, 1))
        with self.init_scope():
            self.features = IndexedSequential(*layers)  # (B, 1280, H/32, W/32)
            self.avgpool = global_average  # (B, 1280)
            self.classifier = IndexedSequential(
                partial(F.dropout, ratio=dropout),
                Linear(last, n_class, initialW=initializers.Normal(0.01)),  # (B, n_class)
            )
