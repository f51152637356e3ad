"""EfficientNet and EfficientNetV2, attribute for attribute torchvision's."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import chainer.functions as F
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.blocks import Residual, SqueezeExcitation, conv_norm_activation, depth_probabilities
from chainfpn.links.classifier import Classifier, global_average
from chainfpn.links.layers import IndexedSequential, Linear


def silu(x: Variable) -> Variable:
    """Compute x * sigmoid(x), in the dtype and shape of x."""
    return x * F.sigmoid(x)


class Row(NamedTuple):
    """One stage.

    Attributes:
        fused (bool): One convolution expands and mixes pixels, and no channels are weighed (Fused-MBConv).
        expansion (int): Channels in the middle of a block per channel in.
        ksize (int): Side of the kernel.
        stride (int): Step of the first block.
        out_channels (int): Channels out.
        n_blocks (int): Blocks.
    """

    fused: bool
    expansion: int
    ksize: int
    stride: int
    out_channels: int
    n_blocks: int


class MBConv(Residual):
    """Expand, convolve depthwise, weigh the channels, project without activation; or the first two at once.

    Args:
        in_channels (int): Channels in; where they equal those out and the stride is 1, the input is added.
        row (Row): The block's numbers.
        norm (callable): Makes the normalization link for a number of channels.
        drop_prob (float): Probability that only the input is left of an image in training.

    Source:
        Tan and Le 2019 and 2021, figure 2; torchvision 0.14 ``MBConv``, ``FusedMBConv``.
    """

    def __init__(self, in_channels: int, row: Row, *, norm: Callable, drop_prob: float = 0.0) -> None:
        width, out_channels = in_channels * row.expansion, row.out_channels
        block = partial(conv_norm_activation, norm=norm, activation=silu)
        project = block(width, out_channels, 1, activation=None)  # (B, out_channels, H / stride, W / stride)
        layers: list[Callable]
        if row.fused and row.expansion == 1:
            layers = [block(in_channels, out_channels, row.ksize, stride=row.stride)]
        elif row.fused:
            layers = [block(in_channels, width, row.ksize, stride=row.stride), project]
        else:
            layers = [
                *([] if row.expansion == 1 else [block(in_channels, width, 1)]),  # (B, width, H, W)
                block(width, width, row.ksize, stride=row.stride, groups=width),  # (B, width, H / stride, W / stride)
                SqueezeExcitation(width, max(1, in_channels // 4), activation=silu),
                project,
            ]
        residual = row.stride == 1 and in_channels == out_channels
        super().__init__("block", layers, residual=residual, drop_prob=drop_prob)


class EfficientNet(Classifier):
    """Stages of inverted residuals between two convolutions.

    The layers are ``features``, ``avgpool`` and ``classifier``; those of ``features`` can be picked as well, by the
    names torch gives them.

    Args:
        stem (int): Channels of the first convolution.
        rows (sequence of Row): The stages.
        last (int): Channels of the last convolution.
        n_class (int): Class scores.
        dropout (float): Share of the features dropped before the last layer in training.
        stochastic_depth_prob (float): Probability that a block is left out of an image in training; it grows with the
            depth to this.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        Tan and Le 2019, table 1; Tan and Le 2021, table 4; torchvision 0.14 ``EfficientNet``.
    """

    def __init__(
        self,
        stem: int,
        rows: Sequence[Row],
        last: int,
        n_class: int = 1000,
        *,
        dropout: float = 0.2,
        stochastic_depth_prob: float = 0.2,
        norm: Callable = BatchNormalization,
    ) -> None:
        super().__init__()
        self.n_class = n_class
        block = partial(conv_norm_activation, norm=norm, activation=silu)
        layers, in_channels = [block(3, stem, stride=2)], stem  # (B, stem, H/2, W/2)
        probabilities = iter(depth_probabilities(stochastic_depth_prob, sum(r.n_blocks for r in rows), reached=False))
        for row in rows:
            stage = []
            for stride in (row.stride, *[1] * (row.n_blocks - 1)):
                inside = row._replace(stride=stride)
                stage.append(MBConv(in_channels, inside, norm=norm, drop_prob=next(probabilities)))
                in_channels = row.out_channels
            layers.append(IndexedSequential(*stage))
        layers.append(block(in_channels, last, 1))
        with self.init_scope():
            self.features = IndexedSequential(*layers)  # (B, last, H/32, W/32)
            self.avgpool = global_average  # (B, last)
            self.classifier = IndexedSequential(
                partial(F.dropout, ratio=dropout),
                Linear(last, n_class, initialW=initializers.Uniform(1 / math.sqrt(n_class))),  # (B, n_class)
            )
