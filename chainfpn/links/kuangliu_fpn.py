"""The feature pyramid network of kuangliu/pytorch-fpn, trunk and pyramid in one link."""

from collections.abc import Sequence
from typing import NoReturn

from chainfpn._typing import Array, Variable
from chainfpn.functions import resize_bilinear
from chainfpn.links.backbones.resnet import Bottleneck, ResNet
from chainfpn.links.layers import Convolution2D


class KuangliuPyramid(ResNet):
    """A bottleneck ResNet whose picked stages a subclass makes into a pyramid, with bilinear enlargement.

    Args:
        n_blocks (sequence of int): Blocks of each of the four stages.
        pick (sequence of str): The stages, finest first.
        align_corners (bool): See :class:`KuangliuFPN`.
    """

    def __init__(self, n_blocks: Sequence[int], pick: Sequence[str], *, align_corners: bool) -> None:
        super().__init__(Bottleneck, n_blocks)
        self.pick = tuple(pick)
        self.remove_unused()
        self.align_corners = align_corners

    def predict(self, imgs: Sequence[Array]) -> NoReturn:
        """Refuse: a pyramid has no class scores.

        Args:
            imgs (sequence of array): Images.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{type(self).__name__}: there is no predict, for a pyramid returns maps and no class scores")

    def upsample_add(self, top: Variable, lateral: Variable) -> Variable:
        """Enlarge a coarser level, (B, C, H', W'), to the size of a lateral map, (B, C, H, W), and add it."""
        return resize_bilinear(top, lateral.shape[2:], align_corners=self.align_corners) + lateral


class KuangliuFPN(KuangliuPyramid):
    """Pyramid of 256 channels over a bottleneck ResNet, with bilinear enlargement.

    It differs from :class:`~chainfpn.links.FPN` in three ways: coarser levels are enlarged bilinearly, P5 is not
    smoothed, and no level is added. Widths are fixed at 256.

    Args:
        n_blocks (sequence of int): Blocks of each of the four stages.
        align_corners (bool): How ``F.upsample`` met the corners: False since PyTorch 0.4, True before; weights trained
            with an older PyTorch want True.

    Source:
        Lin et al. 2017; kuangliu/pytorch-fpn ``fpn.py``.
    """

    def __init__(self, n_blocks: Sequence[int], *, align_corners: bool = False) -> None:
        super().__init__(n_blocks, ("layer1", "layer2", "layer3", "layer4"), align_corners=align_corners)
        c2, c3, c4, c5 = self.out_channels
        with self.init_scope():
            self.toplayer = Convolution2D(c5, 256, 1)
            self.latlayer1 = Convolution2D(c4, 256, 1)
            self.latlayer2 = Convolution2D(c3, 256, 1)
            self.latlayer3 = Convolution2D(c2, 256, 1)
            self.smooth1 = Convolution2D(256, 256, 3, pad=1)
            self.smooth2 = Convolution2D(256, 256, 3, pad=1)
            self.smooth3 = Convolution2D(256, 256, 3, pad=1)

    def forward(self, x: Variable) -> tuple[Variable, ...]:
        """Build the pyramid.

        Args:
            x (Variable): (B, 3, H, W).

        Returns:
            tuple of Variable: p2, p3, p4, p5, each (B, 256, H / s, W / s) rounded up, s = 4, 8, 16, 32.
        """
        c2, c3, c4, c5 = super().forward(x)  # (B, 256, H/4, W/4) to (B, 2048, H/32, W/32)
        p5 = self.toplayer(c5)  # (B, 256, H/32, W/32)
        p4 = self.upsample_add(p5, self.latlayer1(c4))  # (B, 256, H/16, W/16)
        p3 = self.upsample_add(p4, self.latlayer2(c3))  # (B, 256, H/8, W/8)
        p2 = self.upsample_add(p3, self.latlayer3(c2))  # (B, 256, H/4, W/4)
        p2, p3, p4 = self.smooth3(p2), self.smooth2(p3), self.smooth1(p4)  # (B, 256, H/4, W/4) to (B, 256, H/16, W/16)
        return p2, p3, p4, p5
