"""VGG, attribute for attribute torchvision's."""

from functools import partial

import chainer.functions as F
import chainer.links as L
from chainer import initializers

from chainfpn.functions import adaptive_avg_pool_2d
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.links.classifier import Classifier
from chainfpn.links.convolution_2d import Convolution2D
from chainfpn.links.indexed_sequential import IndexedSequential

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

    def __init__(self, n_convolutions, n_class=1000, *, norm=None, dropout=0.5):
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


def vgg_features(n_convolutions, *, norm=None):
    """Make the layers ahead of the fully connected ones, numbered by their position as torchvision's are.

    Args:
        n_convolutions (sequence of int): Convolutions of each of the five stages.
        norm (callable or None): Makes the normalization link for a number of channels; None leaves it out.

    Returns:
        list of callable: (B, 3, H, W) to (B, 512, H / 32, W / 32), rounded down.
    """
    layers, in_channels = [], 3
    for n, channels in zip(n_convolutions, CHANNELS, strict=True):
        for _ in range(n):
            layers += [_convolution(in_channels, channels), *([] if norm is None else [norm(channels)]), F.relu]
            in_channels = channels
        layers.append(partial(max_pool_2d, ksize=2))
    return layers


def _convolution(in_channels, out_channels):
    """Make a 3x3 convolution with bias, Kaiming-normal over the fan-out."""
    initial = initializers.HeNormal(fan_option="fan_out")
    return Convolution2D(in_channels, out_channels, 3, pad=1, initialW=initial)


def _linear(in_size, out_size):
    """Make a fully connected layer of small normal weights."""
    return L.Linear(in_size, out_size, initialW=initializers.Normal(0.01))
