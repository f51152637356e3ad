"""RegNet, attribute for attribute torchvision's."""

from collections.abc import Callable, Sequence
from functools import partial

import chainer
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.blocks import SqueezeExcitation, conv_norm_activation
from chainfpn.links.classifier import Classifier, global_average
from chainfpn.links.layers import Linear, SequentialChain, convolve


class ResBottleneckBlock(chainer.Chain):
    """1x1, grouped 3x3 and 1x1 convolutions of one width, and a short cut past them.

    Args:
        in_channels (int): Channels in.
        width (int): Channels out.
        group_width (int): Channels per group of the 3x3 convolution.
        stride (int): Step of the 3x3 convolution and the short cut.
        squeezes (bool): Weigh the channels behind the 3x3 convolution.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        Radosavovic et al. 2020, figure 4; torchvision 0.14 ``ResBottleneckBlock``.
    """

    def __init__(
        self, in_channels: int, width: int, group_width: int, *, stride: int, squeezes: bool, norm: Callable
    ) -> None:
        super().__init__()
        block = partial(conv_norm_activation, norm=norm)
        plain = partial(block, activation=None)
        inside = SequentialChain()
        with inside.init_scope():
            inside.a = block(in_channels, width, 1)  # (B, width, H, W)
            inside.b = block(width, width, stride=stride, groups=width // group_width)  # (B, width, H/s, W/s)
            if squeezes:
                inside.se = SqueezeExcitation(width, round(in_channels / 4), zero_bias=False)
            inside.c = plain(width, width, 1)
        with self.init_scope():
            same = stride == 1 and in_channels == width
            self.proj = None if same else plain(in_channels, width, 1, stride=stride)
            self.f = inside

    def forward(self, x: Variable) -> Variable:
        """Compute the block: (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""
        h = x
        for name in self.f.layer_names[:-1]:
            h = self.f[name](h)  # (B, width, H_i, W_i)
        conv, norm = self.f.c
        shortcut = x if self.proj is None else self.proj(x)  # (B, width, H/s, W/s)
        return convolve(conv, h, norm, shortcut, relu=True)  # (B, width, H/s, W/s)


class RegNet(Classifier):
    """Residual network whose widths follow a quantized linear function.

    The layers are ``stem``, ``trunk_output``, ``avgpool`` and ``fc``; those of ``trunk_output`` (``block1`` ...
    ``block4``) can be picked as well.

    Args:
        rows (sequence of tuple of int): Of each stage the channels, the blocks, of which the first halves the
            resolution, and the channels per group of the 3x3 convolutions.
        n_class (int): Class scores.
        squeezes (bool): Weigh channels by squeeze and excitation: the Y networks.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        Radosavovic et al. 2020; torchvision 0.14 ``RegNet``.
    """

    def __init__(
        self,
        rows: Sequence[tuple[int, int, int]],
        n_class: int = 1000,
        *,
        squeezes: bool = False,
        norm: Callable = BatchNormalization,
    ) -> None:
        super().__init__()
        self.n_class = n_class
        block = partial(ResBottleneckBlock, squeezes=squeezes, norm=norm)
        stages, in_channels = SequentialChain(), 32
        with stages.init_scope():
            for i, (width, n_blocks, group_width) in enumerate(rows, 1):
                stage = SequentialChain()
                with stage.init_scope():
                    for k in range(n_blocks):
                        setattr(stage, f"block{i}-{k}", block(in_channels, width, group_width, stride=1 if k else 2))
                        in_channels = width
                setattr(stages, f"block{i}", stage)
        with self.init_scope():
            self.stem = conv_norm_activation(3, 32, stride=2, norm=norm)  # (B, 32, H/2, W/2)
            self.trunk_output = stages  # (B, in_channels, H/32, W/32)
            self.avgpool = global_average  # (B, in_channels)
            self.fc = Linear(in_channels, n_class, initialW=initializers.Normal(0.01))  # (B, n_class)
