"""VGG, attribute for attribute torchvision's."""

from collections.abc import Callable, Sequence
from functools import partial

import chainer.functions as F
from chainer import initializers

from chainfpn.functions import adaptive_avg_pool_2d
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.links.classifier import Classifier
from chainfpn.links.layers import KAIMING, Convolution2D, IndexedSequential, Linear

#: The convolution of this network, and its fully connected layers.
_convolution = partial(Convolution2D, ksize=3, pad=1, initialW=KAIMING)
_linear = partial(Linear, initialW=initializers.Normal(0.01))

#: Channels of the five stages.
CHANNELS = (64, 128, 256, 512, 512)


class VGG(Classifier):
    """Five stages of 3x3 convolutions, each ended by a 2x2 pooling, and three fully connected layers.

    The layers are ``features``, ``avgpool`` and ``classifier``; those of ``features`` can be picked as well, by the
    names torch gives them.

    Args:
        n_convolutions (sequence of int): Convolutions of each of the five stages.
        n_class (int): Class scores.
        norm (callable or None): Makes the normalization link for a number of channels; None leaves it out.
        dropout (float): Share of the features dropped after the first two fully connected layers in training.

    Source:
        Simonyan and Zisserman 2014, table 1; torchvision 0.14 ``VGG``.
    """

    def __init__(
        self, n_convolutions: Sequence[int], n_class: int = 1000, *, norm: Callable | None = None, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.n_class = n_class
        with self.init_scope():
            self.features = IndexedSequential(*vgg_features(n_convolutions, norm=norm))  # (B, 512, H/32, W/32)
            self.avgpool = partial(adaptive_avg_pool_2d, outsize=(7, 7))  # (B, 512, 7, 7)
            self.classifier = IndexedSequential(
                _linear(512 * 7 * 7, 4096),  # (B, 4096)
                F.relu,
                partial(F.dropout, ratio=dropout),
                _linear(4096, 4096),  # (B, 4096)
                F.relu,
                partial(F.dropout, ratio=dropout),
                _linear(4096, n_class),  # (B, n_class)
            )


def vgg_features(n_convolutions: Sequence[int], *, norm: Callable | None = None) -> list[Callable]:
    """Make the layers ahead of the fully connected ones, numbered by their position as torchvision's are.

    Args:
        n_convolutions (sequence of int): Convolutions of each of the five stages.
        norm (callable or None): Makes the normalization link for a number of channels; None leaves it out.

    Returns:
        list of callable: (B, 3, H, W) to (B, 512, H / 32, W / 32), rounded down.
    """
    layers: list[Callable] = []
    in_channels = 3
    for n, channels in zip(n_convolutions, CHANNELS, strict=True):
        for _ in range(n):
            layers += [_convolution(in_channels, channels), *([] if norm is None else [norm(channels)]), F.relu]
            in_channels = channels
        layers.append(partial(max_pool_2d, ksize=2))
    return layers
