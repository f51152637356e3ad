"""ResNet, ResNeXt and wide ResNet, attribute for attribute torchvision's."""

from functools import partial

import chainer
import chainer.functions as F

from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.classifier import Classifier, global_average
from chainfpn.links.indexed_sequential import IndexedSequential
from chainfpn.links.initialization import convolution, linear


class BasicBlock(chainer.Chain):
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

    def __init__(self, in_channels, channels, *, stride=1, norm=BatchNormalization):
        super().__init__()
        with self.init_scope():
            self.conv1 = convolution(in_channels, channels, 3, stride=stride)
            self.bn1 = norm(channels)
            self.conv2 = convolution(channels, channels, 3)
            self.bn2 = norm(channels)
            self.downsample = _downsample(in_channels, channels, stride, norm)

    @property
    def last_norm(self):
        """Link: the normalization before the sum."""
        return self.bn2

    def forward(self, x):
        """Compute the block.

        Args:
            x (Variable): (B, in_channels, H, W).

        Returns:
            Variable: (B, channels, H / stride, W / stride).
        """
        h = F.relu(self.bn1(self.conv1(x)))  # (B, C, H/s, W/s)
        h = self.bn2(self.conv2(h))  # (B, C, H/s, W/s)
        h += x if self.downsample is None else self.downsample(x)  # (B, C, H/s, W/s)
        return F.relu(h)  # (B, C, H/s, W/s)


class Bottleneck(chainer.Chain):
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
        in_channels,
        channels,
        *,
        stride=1,
        dilate=1,
        groups=1,
        width_per_group=64,
        stride_in_1x1=False,
        norm=BatchNormalization,
    ):
        super().__init__()
        width = channels * width_per_group // 64 * groups
        out_channels = channels * self.expansion
        stride_1, stride_2 = (stride, 1) if stride_in_1x1 else (1, stride)
        with self.init_scope():
            self.conv1 = convolution(in_channels, width, 1, stride=stride_1)
            self.bn1 = norm(width)
            self.conv2 = convolution(width, width, 3, stride=stride_2, dilate=dilate, groups=groups)
            self.bn2 = norm(width)
            self.conv3 = convolution(width, out_channels, 1)
            self.bn3 = norm(out_channels)
            self.downsample = _downsample(in_channels, out_channels, stride, norm)

    @property
    def last_norm(self):
        """Link: the normalization before the sum."""
        return self.bn3

    def forward(self, x):
        """Compute the block.

        Args:
            x (Variable): (B, in_channels, H, W).

        Returns:
            Variable: (B, 4 * channels, H / stride, W / stride).
        """
        h = F.relu(self.bn1(self.conv1(x)))  # (B, width, H, W)
        h = F.relu(self.bn2(self.conv2(h)))  # (B, width, H/s, W/s)
        h = self.bn3(self.conv3(h))  # (B, 4C, H/s, W/s)
        h += x if self.downsample is None else self.downsample(x)  # (B, 4C, H/s, W/s)
        return F.relu(h)  # (B, 4C, H/s, W/s)


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
        ValueError: if a BasicBlock is asked for groups, width, dilation or stride_in_1x1; if
            ``replace_stride_with_dilation`` has not three entries.

    Source:
        He et al. 2015; Xie et al. 2016; Zagoruyko and Komodakis 2016; torchvision 0.14 ``ResNet``.
    """

    def __init__(
        self,
        block,
        n_blocks,
        n_class=1000,
        *,
        groups=1,
        width_per_group=64,
        replace_stride_with_dilation=(False, False, False),
        zero_init_residual=False,
        stride_in_1x1=False,
        norm=BatchNormalization,
    ):
        super().__init__()
        if len(replace_stride_with_dilation) != 3:
            raise ValueError(
                f"ResNet: replace_stride_with_dilation must have 3 entries, got {replace_stride_with_dilation!r}"
            )
        inside = {"groups": groups, "width_per_group": width_per_group, "stride_in_1x1": stride_in_1x1}
        if block is BasicBlock:
            plain = inside == {"groups": 1, "width_per_group": 64, "stride_in_1x1": False}
            if not plain or any(replace_stride_with_dilation):
                raise ValueError(
                    "ResNet: groups, width_per_group, stride_in_1x1 and replace_stride_with_dilation "
                    f"must be left at their defaults with a BasicBlock, got {inside}, {replace_stride_with_dilation!r}"
                )
            inside = {}
        self.n_class = n_class
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
                    options = inside if block is BasicBlock else {**inside, "dilate": dilate if k else first}
                    blocks.append(block(in_channels, 64 * 2**i, stride=1 if k else stride, norm=norm, **options))
                    in_channels = self.out_channels[i]
                setattr(self, f"layer{i + 1}", IndexedSequential(*blocks))
            self.avgpool = global_average
            self.fc = linear(in_channels, n_class)
        if zero_init_residual:
            for link in self.links():
                if isinstance(link, (BasicBlock, Bottleneck)):
                    gamma = link.last_norm.gamma
                    getattr(gamma, "array", gamma)[...] = 0


class ResNet18(ResNet):
    """ResNet-18; the options are :class:`ResNet`'s."""

    def __init__(self, n_class=1000, *, zero_init_residual=False, norm=BatchNormalization):
        super().__init__(*DEPTHS[18], n_class, zero_init_residual=zero_init_residual, norm=norm)


class ResNet34(ResNet):
    """ResNet-34; the options are :class:`ResNet`'s."""

    def __init__(self, n_class=1000, *, zero_init_residual=False, norm=BatchNormalization):
        super().__init__(*DEPTHS[34], n_class, zero_init_residual=zero_init_residual, norm=norm)


class _BottleneckResNet(ResNet):
    depth = None

    def __init__(
        self,
        n_class=1000,
        *,
        groups=1,
        width_per_group=64,
        replace_stride_with_dilation=(False, False, False),
        zero_init_residual=False,
        stride_in_1x1=False,
        norm=BatchNormalization,
    ):
        super().__init__(
            *DEPTHS[self.depth],
            n_class,
            groups=groups,
            width_per_group=width_per_group,
            replace_stride_with_dilation=replace_stride_with_dilation,
            zero_init_residual=zero_init_residual,
            stride_in_1x1=stride_in_1x1,
            norm=norm,
        )


class ResNet50(_BottleneckResNet):
    """ResNet-50; the options are :class:`ResNet`'s."""

    depth = 50


class ResNet101(_BottleneckResNet):
    """ResNet-101; the options are :class:`ResNet`'s."""

    depth = 101


class ResNet152(_BottleneckResNet):
    """ResNet-152; the options are :class:`ResNet`'s."""

    depth = 152


def _downsample(in_channels, out_channels, stride, norm):
    """Make the projection of the short cut, or None where the shapes already agree."""
    if stride == 1 and in_channels == out_channels:
        return None
    return IndexedSequential(convolution(in_channels, out_channels, 1, stride=stride), norm(out_channels))
