"""GoogLeNet, attribute for attribute torchvision's."""

from collections.abc import Sequence
from functools import partial

import chainer
import chainer.functions as F

from chainfpn._typing import Variable
from chainfpn.functions import adaptive_avg_pool_2d
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.links.backbones.inception_blocks import ClassifierWithAuxiliaryHeads, ConvNormReLU, normal_linear
from chainfpn.links.classifier import global_average
from chainfpn.links.layers import IndexedSequential

#: A convolution of this network: its weights start with this deviation, as do those of the linear layers.
_STD = 0.01
_convolution = partial(ConvNormReLU, std=_STD)


class Inception(chainer.Chain):
    """Four branches side by side: 1x1, 3x3, another 3x3 (5x5 in the paper), pooling.

    Args:
        in_channels (int): Channels in.
        widths (sequence of int): Channels of the 1x1; in and out of the second branch's 3x3; in and out of the
            third's; after the pooling.

    Source:
        Szegedy et al. 2014, figure 2b; torchvision 0.14 ``googlenet.Inception``, whose weights have 3x3 kernels where
        the paper has 5x5.
    """

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        only, narrow_2, wide_2, narrow_3, wide_3, pooled = widths
        self.out_channels = only + wide_2 + wide_3 + pooled
        with self.init_scope():
            self.branch1 = _convolution(in_channels, only, 1)
            self.branch2 = IndexedSequential(_convolution(in_channels, narrow_2, 1), _convolution(narrow_2, wide_2, 3))
            self.branch3 = IndexedSequential(_convolution(in_channels, narrow_3, 1), _convolution(narrow_3, wide_3, 3))
            self.branch4 = IndexedSequential(
                partial(max_pool_2d, stride=1, pad=1), _convolution(in_channels, pooled, 1)
            )

    def forward(self, x: Variable) -> Variable:
        """Compute the block: (B, in_channels, H, W) to (B, out_channels, H, W)."""
        return F.concat([self[f"branch{i}"](x) for i in (1, 2, 3, 4)])  # (B, out_channels, H, W)


class AuxiliaryHead(chainer.Chain):
    """Classify by an inner layer.

    Args:
        in_channels (int): Channels of the layer.
        n_class (int): Class scores.
        dropout (float): Share of the hidden features dropped in training.

    Source:
        Szegedy et al. 2014, section 5; torchvision 0.14 ``googlenet.InceptionAux``.
    """

    def __init__(self, in_channels: int, n_class: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        with self.init_scope():
            self.conv = _convolution(in_channels, 128, 1)
            self.fc1 = normal_linear(128 * 4 * 4, 1024, std=_STD)
            self.fc2 = normal_linear(1024, n_class, std=_STD)

    def forward(self, x: Variable) -> Variable:
        """Compute the logits: (B, in_channels, H, W) to (B, n_class)."""
        h = self.conv(adaptive_avg_pool_2d(x, (4, 4)))  # (B, 128, 4, 4)
        h = F.dropout(F.relu(self.fc1(h)), self.dropout)  # (B, 1024)
        return self.fc2(h)  # (B, n_class)


class GoogLeNet(ClassifierWithAuxiliaryHeads):
    """Nine inception blocks in three resolutions.

    The layers are ``conv1``, ``maxpool1``, ``conv2``, ``conv3``, ``maxpool2``, ``inception3a``, ``inception3b``,
    ``maxpool3``, ``inception4a`` ... ``4e``, ``maxpool4``, ``inception5a``, ``inception5b``, ``avgpool``, ``dropout``,
    ``fc``. In training, without ``pick``, the logits of the two auxiliary heads are returned after the network's.

    Args:
        n_class (int): Class scores.
        aux_logits (bool): Put auxiliary heads on ``inception4a`` and ``inception4d``.
        transform_input (bool): Turn an input of ImageNet's mean and deviation into pixels in -1..1, as torchvision's
            weights expect them.
        dropout (float): Share of the features dropped before the last layer in training.
        dropout_aux (float): The same in the auxiliary heads.

    Source:
        Szegedy et al. 2014, table 1; torchvision 0.14 ``GoogLeNet``.
    """

    auxiliary = {"inception4a": "aux1", "inception4d": "aux2"}  # noqa: RUF012

    def __init__(
        self,
        n_class: int = 1000,
        *,
        aux_logits: bool = True,
        transform_input: bool = False,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__(n_class, transform_input=transform_input)
        with self.init_scope():
            self.conv1 = _convolution(3, 64, 7, stride=2)  # (B, 64, H/2, W/2)
            self.maxpool1 = partial(max_pool_2d, round_up=True)  # (B, 64, H/4, W/4)
            self.conv2 = _convolution(64, 64, 1)  # (B, 64, H/4, W/4)
            self.conv3 = _convolution(64, 192, 3)  # (B, 192, H/4, W/4)
            self.maxpool2 = partial(max_pool_2d, round_up=True)  # (B, 192, H/8, W/8)
            self.inception3a = Inception(192, (64, 96, 128, 16, 32, 32))  # (B, 256, H/8, W/8)
            self.inception3b = Inception(256, (128, 128, 192, 32, 96, 64))  # (B, 480, H/8, W/8)
            self.maxpool3 = partial(max_pool_2d, round_up=True)  # (B, 480, H/16, W/16)
            self.inception4a = Inception(480, (192, 96, 208, 16, 48, 64))  # (B, 512, H/16, W/16)
            self.inception4b = Inception(512, (160, 112, 224, 24, 64, 64))  # (B, 512, H/16, W/16)
            self.inception4c = Inception(512, (128, 128, 256, 24, 64, 64))  # (B, 512, H/16, W/16)
            self.inception4d = Inception(512, (112, 144, 288, 32, 64, 64))  # (B, 528, H/16, W/16)
            self.inception4e = Inception(528, (256, 160, 320, 32, 128, 128))  # (B, 832, H/16, W/16)
            self.maxpool4 = partial(max_pool_2d, ksize=2, round_up=True)  # (B, 832, H/32, W/32)
            self.inception5a = Inception(832, (256, 160, 320, 32, 128, 128))  # (B, 832, H/32, W/32)
            self.inception5b = Inception(832, (384, 192, 384, 48, 128, 128))  # (B, 1024, H/32, W/32)
            self.avgpool = global_average  # (B, 1024)
            self.dropout = partial(F.dropout, ratio=dropout)
            self.fc = normal_linear(1024, n_class, std=_STD)  # (B, n_class)
        if aux_logits:
            self.add_heads(*(AuxiliaryHead(channels, n_class, dropout=dropout_aux) for channels in (512, 528)))
