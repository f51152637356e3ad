"""AlexNet, attribute for attribute torchvision's."""

from functools import partial

import chainer.functions as F
from chainer import initializers

from chainfpn.functions import adaptive_avg_pool_2d
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.links.classifier import Classifier
from chainfpn.links.layers import Convolution2D, IndexedSequential, linear


class AlexNet(Classifier):
    """The network that started it, in its one-column form.

    The layers are ``features``, ``avgpool`` and ``classifier``; those of ``features`` can be picked as well, by the
    names torch gives them.

    Args:
        n_class (int): Class scores.
        dropout (float): Share of the features dropped before the first two fully connected layers in training.

    Source:
        Krizhevsky 2014, "One weird trick"; torchvision 0.14 ``AlexNet``.
    """

    def __init__(self, n_class: int = 1000, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.n_class = n_class
        with self.init_scope():
            self.features = IndexedSequential(
                _convolution(3, 64, 11, stride=4, pad=2),  # (B, 64, H/4, W/4)
                F.relu,
                max_pool_2d,  # (B, 64, H/8, W/8)
                _convolution(64, 192, 5, pad=2),  # (B, 192, H/8, W/8)
                F.relu,
                max_pool_2d,  # (B, 192, H/16, W/16)
                _convolution(192, 384, 3, pad=1),  # (B, 384, H/16, W/16)
                F.relu,
                _convolution(384, 256, 3, pad=1),  # (B, 256, H/16, W/16)
                F.relu,
                _convolution(256, 256, 3, pad=1),  # (B, 256, H/16, W/16)
                F.relu,
                max_pool_2d,  # (B, 256, H/32, W/32)
            )
            self.avgpool = partial(adaptive_avg_pool_2d, outsize=(6, 6))  # (B, 256, 6, 6)
            self.classifier = IndexedSequential(
                partial(F.dropout, ratio=dropout),
                linear(256 * 6 * 6, 4096),  # (B, 4096)
                F.relu,
                partial(F.dropout, ratio=dropout),
                linear(4096, 4096),  # (B, 4096)
                F.relu,
                linear(4096, n_class),  # (B, n_class)
            )


def _convolution(in_channels, out_channels, ksize, *, stride=1, pad=0):
    """Make a convolution that starts like torch's: weights and biases uniform in +-1/sqrt(fan in)."""
    uniform = initializers.Uniform((in_channels * ksize * ksize) ** -0.5)
    return Convolution2D(in_channels, out_channels, ksize, stride, pad, initialW=uniform, initial_bias=uniform)
