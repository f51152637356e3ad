"""Feature pyramid: top-down pathway with lateral connections, and the levels beyond it."""

from collections.abc import Callable, Sequence

import chainer
import chainer.functions as F
from chainer import initializers

from chainfpn._typing import Variable
from chainfpn.errors import InvalidArgument
from chainfpn.functions import resize_nearest
from chainfpn.functions._max_pool_2d import max_pool_2d
from chainfpn.links.layers import Convolution2D, IndexedSequential, convolve


class FPN(chainer.Chain):
    """Turn the maps of a backbone into a pyramid of equal width.

    Every map is brought to ``out_channels`` by a 1x1 convolution, summed with the coarser level enlarged to its size
    (nearest neighbour), and smoothed by a 3x3 convolution.

    Args:
        in_channels (sequence of int): Channels of the maps, finest first.
        out_channels (int): Channels of every level.
        extra_blocks (callable or None): Maps the finished pyramid and the maps it came from to coarser levels:
            :func:`max_pool_level` or :class:`LastLevelP6P7`.
        norm (callable or None): Makes a normalization link for a number of channels, put after every convolution,
            which then has no bias.

    Source:
        Lin et al. 2017, section 3; torchvision 0.14 ``FeaturePyramidNetwork``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        *,
        extra_blocks: Callable | None = None,
        norm: Callable | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = list(in_channels)
        with self.init_scope():
            self.inner_blocks = chainer.ChainList(*[_block(c, out_channels, 1, norm) for c in in_channels])
            self.layer_blocks = chainer.ChainList(*[_block(out_channels, out_channels, 3, norm) for _ in in_channels])
            self.extra_blocks = extra_blocks

    def forward(self, hs: Sequence[Variable]) -> list[Variable]:
        """Build the pyramid.

        Args:
            hs (sequence of Variable): (B, C_l, H_l, W_l), finest first.

        Returns:
            list of Variable: (B, out_channels, H_l, W_l), finest first, then the extra levels.

        Raises:
            InvalidArgument: if the number of maps or their channels are not those of ``in_channels``.
        """
        channels = [h.shape[1] for h in hs]
        if channels != self.in_channels:
            rule = f"have maps of {self.in_channels} channels, as in_channels says"
            raise InvalidArgument("FPN", "hs", rule, hs, got=f"maps of {channels}")
        return self.smooth(self.merge(hs), hs)  # levels of (B, C, H_l, W_l)

    def merge(self, hs: Sequence[Variable]) -> list[Variable]:
        """Sum each map, brought to the pyramid's width, and what is above it: the first half of :meth:`forward`.

        Args:
            hs (sequence of Variable): As for :meth:`forward`.

        Returns:
            list of Variable: (B, out_channels, H_l, W_l), finest first.
        """
        sums: list[Variable] = []
        for h, inner in reversed(list(zip(hs, self.inner_blocks, strict=True))):
            above = resize_nearest(sums[0], h.shape[2:]) if sums else None  # (B, C, H_l, W_l)
            sums.insert(0, convolve(inner, h, residual=above))  # (B, C, H_l, W_l)
        return sums

    def smooth(self, sums: Sequence[Variable], hs: Sequence[Variable]) -> list[Variable]:
        """Smooth the sums, and add the extra levels: the second half of :meth:`forward`.

        Args:
            sums (sequence of Variable): What :meth:`merge` returns.
            hs (sequence of Variable): As for :meth:`forward`; only the extra levels ask for them.

        Returns:
            list of Variable: What :meth:`forward` returns.
        """
        ps = [layer(h) for layer, h in zip(self.layer_blocks, sums, strict=True)]  # levels of (B, C, H_l, W_l)
        return ps if self.extra_blocks is None else [*ps, *self.extra_blocks(ps, hs)]  # levels of (B, C, H_l, W_l)


class LastLevelP6P7(chainer.Chain):
    """Two coarser levels by strided convolutions, as RetinaNet and FCOS use them.

    Args:
        in_channels (int): Channels of the map that P6 is made from: the coarsest backbone map if this differs from
            ``out_channels``, the coarsest pyramid level if not.
        out_channels (int): Channels of P6 and P7.
        relu (bool): Put a ReLU between them; mmdetection does not.

    Source:
        Lin et al. 2017 (RetinaNet), section 4; torchvision 0.14 ``LastLevelP6P7``.
    """

    def __init__(self, in_channels: int, out_channels: int, *, relu: bool = True) -> None:
        super().__init__()
        self.relu = relu
        self.use_p5 = in_channels == out_channels
        with self.init_scope():
            uniform = initializers.LeCunUniform()
            self.p6 = Convolution2D(in_channels, out_channels, 3, stride=2, pad=1, initialW=uniform)
            self.p7 = Convolution2D(out_channels, out_channels, 3, stride=2, pad=1, initialW=uniform)

    def forward(self, ps: list[Variable], hs: Sequence[Variable]) -> list[Variable]:
        """Make the two levels.

        Args:
            ps (list of Variable): The pyramid, finest first, (B, C, H_l, W_l).
            hs (sequence of Variable): The maps of the backbone, finest first.

        Returns:
            list of Variable: P6 and P7, each half the size of the level before, rounded up.
        """
        p6 = self.p6(ps[-1] if self.use_p5 else hs[-1])  # (B, C, ceil(H/2), ceil(W/2))
        p7 = self.p7(F.relu(p6) if self.relu else p6)  # (B, C, ceil(H/4), ceil(W/4))
        return [p6, p7]


def max_pool_level(ps: list[Variable], hs: Sequence[Variable]) -> list[Variable]:
    """Take every second pixel of the coarsest level as one more level, for the RPN's largest anchors.

    Args:
        ps (list of Variable): The pyramid, finest first, (B, C, H_l, W_l).
        hs (sequence of Variable): Not used; present so that all extra levels are called alike.

    Returns:
        list of Variable: One map, (B, C, ceil(H / 2), ceil(W / 2)).

    Source:
        torchvision 0.14 ``LastLevelMaxPool``.
    """
    return [max_pool_2d(ps[-1], 1)]  # (B, C, ceil(H/2), ceil(W/2))


def _block(in_channels, out_channels, ksize, norm):
    """Make a convolution that starts like torchvision's (Kaiming-uniform with a = 1), and its normalization."""
    convolution = Convolution2D(
        in_channels, out_channels, ksize, pad=ksize // 2, nobias=norm is not None, initialW=initializers.LeCunUniform()
    )
    return convolution if norm is None else IndexedSequential(convolution, norm(out_channels))


class BackboneWithFPN(chainer.Chain):
    """Run a pickable trunk and build a pyramid on the stages it returns.

    Args:
        body (PickableSequentialChain): The trunk, its ``pick`` set to the stages wanted, finest first.
        in_channels (sequence of int): Channels of those stages.
        out_channels (int): Channels of every level.
        extra_blocks (callable or None): See :class:`~chainfpn.links.FPN`.
        norm (callable or None): See :class:`~chainfpn.links.FPN`.

    Source:
        torchvision 0.14 ``BackboneWithFPN``.
    """

    def __init__(
        self,
        body: chainer.Chain,
        in_channels: Sequence[int],
        out_channels: int,
        *,
        extra_blocks: Callable | None = None,
        norm: Callable | None = None,
    ) -> None:
        super().__init__()
        with self.init_scope():
            self.body = body
            self.fpn = FPN(in_channels, out_channels, extra_blocks=extra_blocks, norm=norm)

    def forward(self, x: Variable) -> list[Variable]:
        """Compute the pyramid of a batch.

        Args:
            x (Variable): (B, 3, H, W).

        Returns:
            list of Variable: (B, out_channels, H_l, W_l), finest first.
        """
        return self.fpn(self.body(x))  # levels of (B, out_channels, H_l, W_l)
