"""SqueezeNet, attribute for attribute torchvision's."""

from collections.abc import Sequence
from functools import partial

import chainer
import chainer.functions as F
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.links.classifier import Classifier, global_average
from chainfpn.links.layers import Convolution2D, IndexedSequential, convolve

#: A convolution of this network: Kaiming-uniform over the fan-in.
_convolution = partial(Convolution2D, initialW=initializers.HeUniform())


class Fire(chainer.Chain):
    """Squeeze to few channels, expand them by 1x1 and 3x3 convolutions side by side.

    Args:
        in_channels (int): Channels in.
        squeezed (int): Channels in between.
        expanded (int): Channels out of each of the two convolutions.

    Source:
        Iandola et al. 2016, figure 1; torchvision 0.14 ``Fire``.
    """

    def __init__(self, in_channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        with self.init_scope():
            self.squeeze = _convolution(in_channels, squeezed, 1)
            self.expand1x1 = _convolution(squeezed, expanded, 1)
            self.expand3x3 = _convolution(squeezed, expanded, 3, pad=1)

    def forward(self, x: Variable) -> Variable:
        """Compute the block: (B, in_channels, H, W) to (B, 2 * expanded, H, W)."""
        h = convolve(self.squeeze, x, relu=True)  # (B, squeezed, H, W)
        return F.concat([convolve(expand, h, relu=True) for expand in (self.expand1x1, self.expand3x3)])


class SqueezeNet(Classifier):
    """A first convolution, eight fire blocks in three resolutions, and a convolution to the classes.

    The layers are ``features`` and ``classifier``; those of ``features`` can be picked as well, by the names torch
    gives them.

    Args:
        first ((int, int)): Channels and kernel of the first convolution.
        n_fires ((int, int, int)): Fire blocks between the poolings.
        n_class (int): Class scores.
        dropout (float): Share of the features dropped before the last convolution in training.

    Source:
        Iandola et al. 2016, table 1; torchvision 0.14 ``SqueezeNet``.
    """

    #: Channels of each fire block: squeezed, and out of either convolution.
    fires = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))

    def __init__(
        self, first: tuple[int, int], n_fires: Sequence[int], n_class: int = 1000, *, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.n_class = n_class
        in_channels, ksize = first
        layers, fires = [_convolution(3, in_channels, ksize, stride=2), F.relu], iter(self.fires)
        for n in n_fires:
            layers.append(partial(max_pool_2d, round_up=True))
            for _ in range(n):
                squeezed, expanded = next(fires)
                layers.append(Fire(in_channels, squeezed, expanded))
                in_channels = 2 * expanded
        with self.init_scope():
            self.features = IndexedSequential(*layers)  # (B, 512, H/16, W/16)
            self.classifier = IndexedSequential(
                partial(F.dropout, ratio=dropout),
                Convolution2D(512, n_class, 1, initialW=initializers.Normal(0.01)),  # (B, n_class, H/16, W/16)
                F.relu,
                global_average,  # (B, n_class)
            )
