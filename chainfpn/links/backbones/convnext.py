"""ConvNeXt, attribute for attribute torchvision's."""

from collections.abc import Sequence
from functools import partial

import chainer
import chainer.functions as F
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.functions._gelu import gelu
from chainfpn.links.blocks import depth_probabilities, identity, stochastic_depth
from chainfpn.links.classifier import Classifier
from chainfpn.links.layer_normalization import LayerNormalization
from chainfpn.links.layers import Convolution2D, IndexedSequential, Linear
from chainfpn.links.pointwise import Pointwise

_norm = partial(LayerNormalization, eps=1e-6)
_convolution = partial(Convolution2D, initialW=initializers.Normal(0.02))


class CNBlock(chainer.Chain):
    """A depthwise 7x7 convolution, a normalization, two layers over the channels, and the sum with the input.

    Args:
        channels (int): Channels in and out.
        drop_prob (float): Probability that only the input is left of an image in training.

    Source:
        Liu et al. 2022, figure 4; torchvision 0.14 ``CNBlock``.
    """

    def __init__(self, channels: int, *, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob
        with self.init_scope():
            self.block = IndexedSequential(
                _convolution(channels, channels, 7, pad=3, groups=channels),
                identity,
                _norm(channels),
                Pointwise(channels, 4 * channels),  # (B, 4 C, H, W)
                gelu,
                Pointwise(4 * channels, channels),
            )
            self.layer_scale = chainer.Parameter(1e-6, (channels, 1, 1))

    def forward(self, x: Variable) -> Variable:
        """Compute the block: (B, channels, H, W) to (B, channels, H, W)."""
        h = self.block(x)  # (B, C, H, W)
        return x + stochastic_depth(h * F.cast(self.layer_scale, h.dtype), self.drop_prob)  # (B, C, H, W)


class ConvNeXt(Classifier):
    """Four stages of blocks with a strided convolution before each.

    The layers are ``features``, ``avgpool`` and ``classifier``; those of ``features`` can be picked as well, by the
    names torch gives them.

    Args:
        channels (sequence of int): Channels of each stage.
        n_blocks (sequence of int): Blocks of each stage.
        n_class (int): Class scores.
        stochastic_depth_prob (float): Probability that a block is left out of an image in training; it grows with the
            depth to this.

    Source:
        Liu et al. 2022; torchvision 0.14 ``ConvNeXt``.
    """

    def __init__(
        self,
        channels: Sequence[int],
        n_blocks: Sequence[int],
        n_class: int = 1000,
        *,
        stochastic_depth_prob: float = 0.0,
    ) -> None:
        super().__init__()
        self.n_class = n_class
        layers = [IndexedSequential(_convolution(3, channels[0], 4, stride=4), _norm(channels[0]))]  # (B, C, H/4, W/4)
        probabilities = iter(depth_probabilities(stochastic_depth_prob, sum(n_blocks)))
        for i, (width, n) in enumerate(zip(channels, n_blocks, strict=True)):
            if i:  # (B, width, H / 2, W / 2)
                before = channels[i - 1]
                layers.append(IndexedSequential(_norm(before), _convolution(before, width, 2, stride=2)))
            layers.append(IndexedSequential(*[CNBlock(width, drop_prob=next(probabilities)) for _ in range(n)]))
        with self.init_scope():
            self.features = IndexedSequential(*layers)  # (B, C, H/32, W/32)
            self.avgpool = partial(F.mean, axis=(2, 3), keepdims=True)  # (B, C, 1, 1)
            self.classifier = IndexedSequential(
                _norm(width),
                partial(F.squeeze, axis=(2, 3)),  # (B, C)
                Linear(width, n_class, initialW=initializers.Normal(0.02)),  # (B, n_class)
            )
