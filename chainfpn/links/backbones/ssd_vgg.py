"""The backbone of SSD300: VGG-16 without its fully connected layers, followed by coarser levels."""

from functools import partial

import chainer
import chainer.functions as F
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.functions.kernels import compute_dtype
from chainfpn.links.backbones.vgg import vgg_features
from chainfpn.links.layers import Convolution2D, IndexedSequential

#: A convolution after VGG's: Xavier-uniform.
_convolution = partial(Convolution2D, initialW=initializers.GlorotUniform())

#: VGG-16's convolutions per stage, and where torch has its third and fourth pooling.
VGG16 = (2, 2, 3, 3, 3)
POOL3, POOL4 = 16, 23


class SSDVGG16(chainer.Chain):
    """Six maps of an image of 300 pixels, 38, 19, 10, 5, 3 and 1 pixels wide.

    The third pooling rounds up, the fifth keeps the size, and the first fully connected layer is a dilated convolution.
    The first map is scaled to a length that is learnt, a channel at a time, of what has length 1 at every position.

    Source:
        Liu et al. 2016 (SSD), figure 2 and section 3; torchvision 0.14 ``SSDFeatureExtractorVGG``.
    """

    #: Channels of the six maps.
    out_channels = (512, 1024, 512, 256, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        layers = vgg_features(VGG16)
        layers[POOL3] = partial(max_pool_2d, ksize=2, round_up=True)
        with self.init_scope():
            self.scale_weight = chainer.Parameter(initializers.Constant(20), (512,))
            self.features = IndexedSequential(*layers[:POOL4])  # (B, 512, 38, 38)
            self.extra = chainer.ChainList(
                IndexedSequential(*layers[POOL4:-1], _fully_connected()),  # (B, 1024, 19, 19)
                _extra(1024, 256, 512, stride=2, pad=1),  # (B, 512, 10, 10)
                _extra(512, 128, 256, stride=2, pad=1),  # (B, 256, 5, 5)
                _extra(256, 128, 256),  # (B, 256, 3, 3)
                _extra(256, 128, 256),  # (B, 256, 1, 1)
            )

    def forward(self, x: Variable) -> list[Variable]:
        """Compute the maps of a batch.

        Args:
            x (Variable): (B, 3, 300, 300).

        Returns:
            list of Variable: (B, C_l, H_l, W_l), finest first.
        """
        h = self.features(x)  # (B, 512, 38, 38)
        hs = [F.scale(_unit_length(h), self.scale_weight, axis=1)]  # (B, 512, 38, 38)
        for block in self.extra:
            h = block(h)  # (B, C_l, H_l, W_l)
            hs.append(h)
        return hs


def _unit_length(h):
    """Divide the numbers of each position by their length, whose square may pass what half precision holds."""
    return F.cast(F.normalize(F.cast(h, compute_dtype(h.dtype)), eps=1e-12, axis=1), h.dtype)


def _fully_connected():
    """Make VGG's first two fully connected layers as convolutions, after a pooling that keeps the size."""
    return IndexedSequential(
        partial(max_pool_2d, stride=1, pad=1),  # (B, 512, 19, 19)
        _convolution(512, 1024, 3, pad=6, dilate=6),  # (B, 1024, 19, 19)
        F.relu,
        _convolution(1024, 1024, 1),  # (B, 1024, 19, 19)
        F.relu,
    )


def _extra(in_channels, width, out_channels, *, stride=1, pad=0):
    """Make a coarser level: narrow by a 1x1 convolution, then a 3x3."""
    return IndexedSequential(
        _convolution(in_channels, width, 1),  # (B, width, H, W)
        F.relu,
        _convolution(width, out_channels, 3, stride=stride, pad=pad),  # (B, out_channels, H', W')
        F.relu,
    )
