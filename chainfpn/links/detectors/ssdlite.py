"""SSDLite: SSD on MobileNetV3, with depthwise convolutions in its heads and its coarser levels.

The shape letters are those of :mod:`chainfpn.links.detectors.ssd`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import chainer
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.links.backbones.mobilenet_v3 import LARGE, MobileNetV3
from chainfpn.links.blocks import conv_norm_activation, relu6
from chainfpn.links.detectors.ssd import SSDHead
from chainfpn.links.layers import Convolution2D, IndexedSequential

#: The first block of stride 32, whose widened map is the finest that is detected on.
C4 = 13
#: Channels of the levels behind the trunk.
EXTRA = (512, 256, 256, 128)

_NORMAL = initializers.Normal(0.03)


class SSDLiteMobileNetV3(chainer.Chain):
    """Six maps of an image of 320 pixels, 20, 10, 5, 3, 2 and 1 pixels wide.

    Args:
        norm (callable): Makes the normalization link for a number of channels.
        reduced_tail (bool): Halve the channels of the last blocks, as torchvision does for a trunk that was not trained
            as a classifier.

    Attributes:
        out_channels (tuple of int): Channels of the six maps.

    Source:
        Howard et al. 2019, section 6.3; torchvision 0.14 ``SSDLiteFeatureExtractorMobileNet``.
    """

    def __init__(self, *, norm: Callable[[int], Any], reduced_tail: bool = True) -> None:
        super().__init__()
        divisor = 2 if reduced_tail else 1
        rows = [*LARGE[:12], *(row._replace(out_channels=160 // divisor) for row in LARGE[12:])]
        rows[13:] = [row._replace(width=960 // divisor) for row in rows[13:]]
        layers = list(MobileNetV3(rows, 1280 // divisor, norm=norm).features)
        last = 960 // divisor
        self.out_channels = (LARGE[12].width, last, *EXTRA)
        widen, *rest = layers[C4].block
        with self.init_scope():
            self.features = IndexedSequential(
                IndexedSequential(*layers[:C4], widen),  # (B, 672, H/16, W/16)
                IndexedSequential(IndexedSequential(*rest, start=1), *layers[C4 + 1 :]),  # (B, last, H/32, W/32)
            )
            self.extra = chainer.ChainList(
                *(_extra(n_in, n_out, norm) for n_in, n_out in zip((last, *EXTRA), EXTRA, strict=False))
            )

    def forward(self, x: Variable) -> list[Variable]:
        """Compute the maps of a batch: (B, 3, 320, 320) to (B, C_l, H_l, W_l), finest first."""
        hs = []
        for block in (*self.features, *self.extra):
            x = block(x)  # (B, C_l, H_l, W_l)
            hs.append(x)
        return hs


class SSDLiteHead(SSDHead):
    """Both heads of SSDLite: a separable convolution per map.

    Args:
        in_channels (sequence of int): Channels of each map.
        n_anchors (sequence of int): Boxes a place, of each map.
        n_output (int): Classes; the first is the background.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        Sandler et al. 2018, section 6.2; torchvision 0.14 ``SSDLiteClassificationHead``, ``SSDLiteRegressionHead``.
    """

    def __init__(
        self, in_channels: Sequence[int], n_anchors: Sequence[int], n_output: int, *, norm: Callable[[int], Any]
    ) -> None:
        super().__init__(in_channels, n_anchors, n_output, layer=partial(_separable_convolution, norm=norm))


def _separable_convolution(in_channels: int, out_channels: int, norm: Callable[[int], Any]) -> IndexedSequential:
    """Convolve each channel by itself, then mix them."""
    return IndexedSequential(
        _convolution(in_channels, in_channels, 3, norm, groups=in_channels),
        Convolution2D(in_channels, out_channels, 1, initialW=_NORMAL),
    )


def _extra(in_channels: int, out_channels: int, norm: Callable[[int], Any]) -> IndexedSequential:
    """Make a coarser level: narrow, convolve each channel by itself with stride 2, widen."""
    width = out_channels // 2
    return IndexedSequential(
        _convolution(in_channels, width, 1, norm),  # (B, width, H, W)
        _convolution(width, width, 3, norm, stride=2, groups=width),  # (B, width, H/2, W/2)
        _convolution(width, out_channels, 1, norm),  # (B, out_channels, H/2, W/2)
    )


def _convolution(in_channels: int, out_channels: int, ksize: int, norm: Callable[[int], Any], **options: int) -> Any:
    """Make a convolution with normalization and ReLU6, its weights drawn as torchvision draws them."""
    block = conv_norm_activation(in_channels, out_channels, ksize, norm=norm, activation=relu6, **options)
    _NORMAL(block[0].W.array)
    return block
