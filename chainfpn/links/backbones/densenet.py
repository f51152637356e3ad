"""DenseNet, attribute for attribute torchvision's."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import chainer
import chainer.functions as F
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.classifier import Classifier, global_average
from chainfpn.links.layers import Convolution2D, Linear, SequentialChain, convolve, normalize

#: A convolution of this network: no bias, Kaiming-normal over the fan-in.
_convolution = partial(Convolution2D, nobias=True, initialW=initializers.HeNormal())


class DenseLayer(chainer.Chain):
    """A 1x1 and a 3x3 convolution whose output is concatenated to their input.

    Args:
        in_channels (int): Channels in.
        growth (int): Channels added.
        drop_rate (float): Share of the new features dropped in training.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        Huang et al. 2016, section 3 (DenseNet-B); torchvision 0.14 ``_DenseLayer``.
    """

    def __init__(
        self, in_channels: int, growth: int, *, drop_rate: float = 0.0, norm: Callable = BatchNormalization
    ) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        with self.init_scope():
            self.norm1 = norm(in_channels)
            self.conv1 = _convolution(in_channels, 4 * growth, 1)
            self.norm2 = norm(4 * growth)
            self.conv2 = _convolution(4 * growth, growth, 3, pad=1)

    def forward(self, x: Variable) -> Variable:
        """Compute the layer: (B, in_channels, H, W) to (B, in_channels + growth, H, W), x first."""
        h = normalize(self.norm1, x, relu=True)  # (B, in_channels, H, W)
        h = self.conv2(convolve(self.conv1, h, self.norm2, relu=True))  # (B, growth, H, W)
        h = F.dropout(h, self.drop_rate) if self.drop_rate else h  # (B, growth, H, W)
        return F.concat((x, h))  # (B, in_channels + growth, H, W)


class DenseNet(Classifier):
    """Four blocks of dense layers, halved in width and resolution in between (DenseNet-BC).

    The layers are ``features``, ``relu``, ``avgpool`` and ``classifier``; those of ``features`` (``conv0``, ``norm0``,
    ``relu0``, ``pool0``, ``denseblock1``, ``transition1`` ... ``denseblock4``, ``norm5``) can be picked as well.

    Args:
        n_layers (sequence of int): Dense layers of each block.
        growth (int): Channels each of them adds.
        stem (int): Channels of the first convolution.
        n_class (int): Class scores.
        drop_rate (float): Share of each layer's new features dropped in training.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        Huang et al. 2016, table 1; torchvision 0.14 ``DenseNet``.
    """

    def __init__(
        self,
        n_layers: Sequence[int],
        growth: int,
        stem: int,
        n_class: int = 1000,
        *,
        drop_rate: float = 0.0,
        norm: Callable = BatchNormalization,
    ) -> None:
        super().__init__()
        self.n_class = n_class
        features, channels = SequentialChain(), stem
        with features.init_scope():
            features.conv0 = _convolution(3, stem, 7, stride=2, pad=3)  # (B, stem, H/2, W/2)
            features.norm0 = norm(stem)
            features.relu0 = F.relu
            features.pool0 = partial(max_pool_2d, pad=1)  # (B, stem, H/4, W/4)
            for i, n in enumerate(n_layers, 1):
                if i > 1:
                    setattr(features, f"transition{i - 1}", _transition(channels, norm))  # C/2, H/2, W/2
                    channels //= 2
                block = SequentialChain()
                with block.init_scope():
                    for k in range(1, n + 1):
                        setattr(block, f"denselayer{k}", DenseLayer(channels, growth, drop_rate=drop_rate, norm=norm))
                        channels += growth
                setattr(features, f"denseblock{i}", block)  # C + n * growth
            features.norm5 = norm(channels)
        with self.init_scope():
            self.features = features  # (B, channels, H/32, W/32)
            self.relu = F.relu
            self.avgpool = global_average  # (B, channels)
            uniform = initializers.Uniform(1 / math.sqrt(channels))
            self.classifier = Linear(channels, n_class, initialW=uniform)  # (B, n_class)


def _transition(in_channels, norm):
    """Halve the channels by a convolution and the resolution by averaging."""
    chain = SequentialChain()
    with chain.init_scope():
        chain.norm = norm(in_channels)
        chain.relu = F.relu
        chain.conv = _convolution(in_channels, in_channels // 2, 1)
        chain.pool = partial(F.average_pooling_2d, ksize=2, stride=2)
    return chain
