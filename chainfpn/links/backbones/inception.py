"""Inception v3, attribute for attribute torchvision's."""

from collections.abc import Callable
from functools import partial
from typing import Any

import chainer
import chainer.functions as F

from chainfpn._typing import Variable
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.links.backbones.inception_blocks import ClassifierWithAuxiliaryHeads, ConvNormReLU, normal_linear
from chainfpn.links.classifier import ClassifierPreprocess, global_average

#: A convolution of this network: its weights start with this deviation, as do those of the last layer.
_STD = 0.1
_convolution = partial(ConvNormReLU, std=_STD)

#: The average of every 3x3 neighbourhood, zeros beyond the edge counted.
_same_average_pool = partial(F.average_pooling_2d, ksize=3, stride=1, pad=1)


class Mixed(chainer.Chain):
    """Branches of convolutions side by side, and one that pools first.

    A branch of one convolution is called by the branch's name, of several by that name and ``_1``, ``_2`` ...; a pair
    of convolutions at the end of a branch, ``_3a`` and ``_3b``, forks it.

    Args:
        in_channels (int): Channels in.
        branches (dict): Name of a branch to its convolutions in turn: (channels, kernel), (channels, kernel, stride),
            which pads nothing, or the tuple of the two that fork.
        pool (callable): What the branch ``branch_pool`` does before its convolutions.

    Source:
        Szegedy et al. 2015, figures 4 to 7 and 10; torchvision 0.14 ``InceptionA`` to ``InceptionE``.
    """

    def __init__(self, in_channels: int, branches: dict[str, Any], *, pool: Callable = _same_average_pool) -> None:
        super().__init__()
        self.pool = pool
        self.branches: dict[str, list[tuple[str, ...]]] = {}
        self.out_channels = 0
        with self.init_scope():
            for branch, steps in branches.items():
                channels = in_channels
                self.branches[branch] = []
                for i, step in enumerate(steps, 1):
                    fork = isinstance(step[0], tuple)
                    name = branch if len(steps) == 1 else f"{branch}_{i}"
                    named = dict(zip((name + "a", name + "b"), step, strict=True)) if fork else {name: step}
                    for key, (width, ksize, *stride) in named.items():
                        options = {"stride": stride[0], "pad": 0} if stride else {}
                        setattr(self, key, _convolution(channels, width, ksize, **options))
                    channels = sum(width for width, *_ in named.values())
                    self.branches[branch].append(tuple(named))
                self.out_channels += channels

    def forward(self, x: Variable) -> Variable:
        """Compute the block.

        Args:
            x (Variable): (B, in_channels, H, W).

        Returns:
            Variable: (B, out_channels, H', W'), H' = H, or (H - 1) // 2 where the block has strides.
        """
        hs = []
        for branch, steps in self.branches.items():
            h = self.pool(x) if branch == "branch_pool" else x  # (B, in_channels, H', W')
            for names in steps:
                ends = [self[name](h) for name in names]  # one or two of (B, width_i, H', W')
                h = F.concat(ends) if len(ends) > 1 else ends[0]  # (B, width, H', W')
            hs.append(h)
        return F.concat(hs)  # (B, out_channels, H', W')


def mixed_5(in_channels: int, pooled: int) -> Mixed:
    """Make a block of the finest resolution (figure 5), the one after pooling ``pooled`` channels wide."""
    branches: dict = {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
        "branch_pool": [(pooled, 1)],
    }
    return Mixed(in_channels, branches)


def mixed_6a(in_channels: int) -> Mixed:
    """Make the block that halves the resolution first (figure 10)."""
    branches = {"branch3x3": [(384, 3, 2)], "branch3x3dbl": [(64, 1), (96, 3), (96, 3, 2)], "branch_pool": []}
    return Mixed(in_channels, branches, pool=max_pool_2d)


def mixed_6(in_channels: int, width: int) -> Mixed:
    """Make a block of the middle resolution (figure 6), its 7x7 convolutions ``width`` wide."""
    row, column = (width, (1, 7)), (width, (7, 1))
    branches = {
        "branch1x1": [(192, 1)],
        "branch7x7": [(width, 1), row, (192, (7, 1))],
        "branch7x7dbl": [(width, 1), column, row, column, (192, (1, 7))],
        "branch_pool": [(192, 1)],
    }
    return Mixed(in_channels, branches)


def mixed_7a(in_channels: int) -> Mixed:
    """Make the block that halves the resolution second."""
    branches = {
        "branch3x3": [(192, 1), (320, 3, 2)],
        "branch7x7x3": [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)],
        "branch_pool": [],
    }
    return Mixed(in_channels, branches, pool=max_pool_2d)


def mixed_7(in_channels: int) -> Mixed:
    """Make a block of the coarsest resolution (figure 7), whose branches fork."""
    fork = ((384, (1, 3)), (384, (3, 1)))
    branches = {
        "branch1x1": [(320, 1)],
        "branch3x3": [(384, 1), fork],
        "branch3x3dbl": [(448, 1), (384, 3), fork],
        "branch_pool": [(192, 1)],
    }
    return Mixed(in_channels, branches)


class AuxiliaryHead(chainer.Chain):
    """Classify by an inner layer.

    Args:
        in_channels (int): Channels of the layer.
        n_class (int): Class scores.

    Source:
        Szegedy et al. 2015, figure 8; torchvision 0.14 ``inception.InceptionAux``.
    """

    def __init__(self, in_channels: int, n_class: int) -> None:
        super().__init__()
        with self.init_scope():
            self.conv0 = _convolution(in_channels, 128, 1)
            self.conv1 = _convolution(128, 768, 5, pad=0)
            self.fc = normal_linear(768, n_class, std=0.001)

    def forward(self, x: Variable) -> Variable:
        """Compute the logits.

        Args:
            x (Variable): (B, in_channels, H, W), at least 17x17.

        Returns:
            Variable: (B, n_class).
        """
        h = F.average_pooling_2d(x, 5, stride=3)  # (B, in_channels, H/3 - 1, W/3 - 1)
        h = self.conv1(self.conv0(h))  # (B, 768, H/3 - 5, W/3 - 5)
        return self.fc(global_average(h))  # (B, n_class)


class InceptionV3(ClassifierWithAuxiliaryHeads):
    """Eleven inception blocks in three resolutions.

    The layers are ``Conv2d_1a_3x3``, ``Conv2d_2a_3x3``, ``Conv2d_2b_3x3``, ``maxpool1``, ``Conv2d_3b_1x1``,
    ``Conv2d_4a_3x3``, ``maxpool2``, ``Mixed_5b`` ... ``5d``, ``Mixed_6a`` ... ``6e``, ``Mixed_7a`` ... ``7c``,
    ``avgpool``, ``dropout``, ``fc``. Images are at least 75x75, in training with the auxiliary head about 299x299.
    In training, without ``pick``, the logits of the auxiliary head are returned after the network's.

    Args:
        n_class (int): Class scores.
        aux_logits (bool): Put the auxiliary head ``AuxLogits`` on ``Mixed_6e``.
        transform_input (bool): See :class:`~chainfpn.links.GoogLeNet`.
        dropout (float): Share of the features dropped before the last layer in training.

    Source:
        Szegedy et al. 2015, table 1; torchvision 0.14 ``Inception3``.
    """

    auxiliary = {"Mixed_6e": "AuxLogits"}  # noqa: RUF012
    preprocess = ClassifierPreprocess(resize=342, crop=299)

    def __init__(
        self, n_class: int = 1000, *, aux_logits: bool = True, transform_input: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__(n_class, transform_input=transform_input)
        with self.init_scope():
            self.Conv2d_1a_3x3 = _convolution(3, 32, 3, stride=2, pad=0)  # (B, 32, H/2, W/2)
            self.Conv2d_2a_3x3 = _convolution(32, 32, 3, pad=0)  # (B, 32, H/2, W/2)
            self.Conv2d_2b_3x3 = _convolution(32, 64, 3)  # (B, 64, H/2, W/2)
            self.maxpool1 = max_pool_2d  # (B, 64, H/4, W/4)
            self.Conv2d_3b_1x1 = _convolution(64, 80, 1)  # (B, 80, H/4, W/4)
            self.Conv2d_4a_3x3 = _convolution(80, 192, 3, pad=0)  # (B, 192, H/4, W/4)
            self.maxpool2 = max_pool_2d  # (B, 192, H/8, W/8)
            self.Mixed_5b = mixed_5(192, 32)  # (B, 256, H/8, W/8)
            self.Mixed_5c = mixed_5(256, 64)  # (B, 288, H/8, W/8)
            self.Mixed_5d = mixed_5(288, 64)  # (B, 288, H/8, W/8)
            self.Mixed_6a = mixed_6a(288)  # (B, 768, H/16, W/16)
            self.Mixed_6b = mixed_6(768, 128)  # (B, 768, H/16, W/16)
            self.Mixed_6c = mixed_6(768, 160)  # (B, 768, H/16, W/16)
            self.Mixed_6d = mixed_6(768, 160)  # (B, 768, H/16, W/16)
            self.Mixed_6e = mixed_6(768, 192)  # (B, 768, H/16, W/16)
            self.Mixed_7a = mixed_7a(768)  # (B, 1280, H/32, W/32)
            self.Mixed_7b = mixed_7(1280)  # (B, 2048, H/32, W/32)
            self.Mixed_7c = mixed_7(2048)  # (B, 2048, H/32, W/32)
            self.avgpool = global_average  # (B, 2048)
            self.dropout = partial(F.dropout, ratio=dropout)
            self.fc = normal_linear(2048, n_class, std=_STD)  # (B, n_class)
        if aux_logits:
            self.add_heads(AuxiliaryHead(768, n_class))
