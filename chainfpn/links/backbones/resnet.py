"""ResNet, ResNeXt and wide ResNet, attribute for attribute torchvision's."""

from collections.abc import Callable, Sequence
from functools import partial, partialmethod
from typing import Any

import chainer
import chainer.functions as F

from chainfpn._typing import Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.classifier import Classifier, global_average
from chainfpn.links.layers import Convolution2D, IndexedSequential, convolution, convolve, linear


class ResidualBlock(chainer.Chain):
    """Convolutions, each normalized, and a short cut past them.

    Args:
        norm (callable): Makes the normalization link for a number of channels.
        stride (int): Step of the short cut, a 1x1 convolution unless the shapes already agree.
        *convolutions (Convolution2D): ``conv1``, ``conv2`` ..., followed by ``bn1``, ``bn2`` ...
    """

    def __init__(self, norm: Callable, stride: int, *convolutions: Convolution2D) -> None:
        super().__init__()
        in_channels, out_channels = convolutions[0].in_channels, convolutions[-1].out_channels
        same = stride == 1 and in_channels == out_channels
        self.n_convolutions = len(convolutions)
        with self.init_scope():
            for i, conv in enumerate(convolutions, 1):
                setattr(self, f"conv{i}", conv)
                setattr(self, f"bn{i}", norm(conv.out_channels))
            self.downsample = None if same else _projection(in_channels, out_channels, stride, norm)

    @property
    def last_norm(self) -> chainer.Link:
        """Link: the normalization before the sum."""
        return self[f"bn{self.n_convolutions}"]

    def forward(self, x: Variable) -> Variable:
        """Compute the block.

        Args:
            x (Variable): (B, in_channels, H, W).

        Returns:
            Variable: (B, out_channels, H / stride, W / stride).
        """
        h = x
        for i in range(1, self.n_convolutions):
            h = convolve(self[f"conv{i}"], h, self[f"bn{i}"], relu=True)  # (B, C_i, H_i, W_i)
        shortcut = x if self.downsample is None else self.downsample(x)  # (B, out_channels, H/s, W/s)
        last = self[f"conv{self.n_convolutions}"]
        return convolve(last, h, self.last_norm, shortcut, relu=True)  # (B, out_channels, H/s, W/s)


def _projection(in_channels, out_channels, stride, norm):
    return IndexedSequential(convolution(in_channels, out_channels, 1, stride=stride), norm(out_channels))


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions and a short cut: the block of ResNet-18 and -34.

    Args:
        in_channels (int): Channels in.
        channels (int): Channels out.
        stride (int): Step of the first convolution and the short cut.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        He et al. 2015, figure 5 left; torchvision 0.14 ``BasicBlock``.
    """

    expansion = 1

    def __init__(
        self, in_channels: int, channels: int, *, stride: int = 1, norm: Callable = BatchNormalization
    ) -> None:
        conv1, conv2 = convolution(in_channels, channels, 3, stride=stride), convolution(channels, channels, 3)
        super().__init__(norm, stride, conv1, conv2)


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions and a short cut: the block of ResNet-50 and deeper.

    Args:
        in_channels (int): Channels in.
        channels (int): Base number of channels; four times as many come out.
        stride (int): Step of the 3x3 convolution (or the first 1x1) and the short cut.
        dilate (int): Dilation of the 3x3 convolution.
        groups (int): Groups of the 3x3 convolution.
        width_per_group (int): Channels inside, per group and per 64 base channels.
        stride_in_1x1 (bool): Put the stride into the first 1x1, as Caffe's and ChainerCV's ``he`` weights want it.
        norm (callable): Makes the normalization link for a number of channels.

    Source:
        He et al. 2015, figure 5 right, with the stride in the 3x3 ("V1.5"); torchvision 0.14 ``Bottleneck``.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        stride: int = 1,
        dilate: int = 1,
        groups: int = 1,
        width_per_group: int = 64,
        stride_in_1x1: bool = False,
        norm: Callable = BatchNormalization,
    ) -> None:
        width = channels * width_per_group // 64 * groups
        stride_1, stride_2 = (stride, 1) if stride_in_1x1 else (1, stride)
        conv1 = convolution(in_channels, width, 1, stride=stride_1)
        conv2 = convolution(width, width, 3, stride=stride_2, dilate=dilate, groups=groups)
        super().__init__(norm, stride, conv1, conv2, convolution(width, channels * self.expansion, 1))


#: Depth to block, and blocks of each of the four stages.
DEPTHS = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(Classifier):
    """Residual network whose stages can be picked.

    The layers are ``conv1``, ``bn1``, ``relu``, ``maxpool``, ``layer1`` ... ``layer4``, ``avgpool``, ``fc``; what is
    returned is set by ``pick`` (a name or several, see ChainerCV's ``PickableSequentialChain``), the class scores by
    default.

    Args:
        block (type): :class:`BasicBlock` or :class:`Bottleneck`.
        n_blocks (sequence of int): Blocks of each of the four stages.
        n_class (int): Class scores.
        groups (int): Groups of the 3x3 convolutions (ResNeXt).
        width_per_group (int): Channels inside a bottleneck, per group and per 64 base channels (wide, ResNeXt).
        replace_stride_with_dilation (sequence of bool): For layer2, 3 and 4: keep the resolution and dilate instead.
        zero_init_residual (bool): Start every block as the identity.
        stride_in_1x1 (bool): See :class:`Bottleneck`.
        norm (callable): Makes the normalization link for a number of channels.

    Raises:
        ValueError: if groups, width, dilation or stride_in_1x1 are given with a BasicBlock; if
            ``replace_stride_with_dilation`` has not three entries.

    Source:
        He et al. 2015; Xie et al. 2016; Zagoruyko and Komodakis 2016; torchvision 0.14 ``ResNet``.
    """

    def __init__(
        self,
        block: Any,
        n_blocks: Sequence[int],
        n_class: int = 1000,
        *,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] = (False, False, False),
        zero_init_residual: bool = False,
        stride_in_1x1: bool = False,
        norm: Callable = BatchNormalization,
    ) -> None:
        super().__init__()
        self.n_class = n_class
        inside = {"groups": groups, "width_per_group": width_per_group, "stride_in_1x1": stride_in_1x1}
        _check_options(block, inside, replace_stride_with_dilation)
        self.out_channels = tuple(64 * 2**i * block.expansion for i in range(4))
        with self.init_scope():
            self.conv1 = convolution(3, 64, 7, stride=2)
            self.bn1 = norm(64)
            self.relu = F.relu
            self.maxpool = partial(max_pool_2d, pad=1)
            in_channels, dilate = 64, 1
            dilates = (False, *replace_stride_with_dilation)
            for i, (n, instead_of_stride) in enumerate(zip(n_blocks, dilates, strict=True)):
                stride = 1 if i == 0 or instead_of_stride else 2
                first, dilate = dilate, dilate * 2 if instead_of_stride else dilate
                blocks = []
                for k in range(n):
                    more = {} if block is BasicBlock else {**inside, "dilate": dilate if k else first}
                    blocks.append(block(in_channels, 64 * 2**i, stride=1 if k else stride, norm=norm, **more))
                    in_channels = self.out_channels[i]
                setattr(self, f"layer{i + 1}", IndexedSequential(*blocks))
            self.avgpool = global_average
            self.fc = linear(in_channels, n_class)
        if zero_init_residual:
            for link in self.links():
                if isinstance(link, ResidualBlock):
                    gamma = link.last_norm.gamma
                    getattr(gamma, "array", gamma)[...] = 0


def _check_options(block, inside, replace_stride_with_dilation):
    if len(replace_stride_with_dilation) != 3:
        raise ValueError(
            f"ResNet: replace_stride_with_dilation must have 3 entries, got {replace_stride_with_dilation!r}"
        )
    plain = inside == {"groups": 1, "width_per_group": 64, "stride_in_1x1": False}
    if block is BasicBlock and (not plain or any(replace_stride_with_dilation)):
        options = "groups, width_per_group, stride_in_1x1 and replace_stride_with_dilation"
        value, got = (inside, replace_stride_with_dilation), f"{inside}, {replace_stride_with_dilation!r}"
        raise InvalidArgument("ResNet", options, "left at their defaults with a BasicBlock", value, got=got)


class ResNet18(ResNet):
    """ResNet-18; the options are :class:`ResNet`'s."""

    __init__ = partialmethod(ResNet.__init__, *DEPTHS[18])


class ResNet34(ResNet):
    """ResNet-34; the options are :class:`ResNet`'s."""

    __init__ = partialmethod(ResNet.__init__, *DEPTHS[34])


class ResNet50(ResNet):
    """ResNet-50; the options are :class:`ResNet`'s."""

    __init__ = partialmethod(ResNet.__init__, *DEPTHS[50])


class ResNet101(ResNet):
    """ResNet-101; the options are :class:`ResNet`'s."""

    __init__ = partialmethod(ResNet.__init__, *DEPTHS[101])


class ResNet152(ResNet):
    """ResNet-152; the options are :class:`ResNet`'s."""

    __init__ = partialmethod(ResNet.__init__, *DEPTHS[152])
