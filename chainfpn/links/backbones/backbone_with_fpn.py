"""A trunk and the feature pyramid on its stages: the backbone of a detector."""

from collections.abc import Callable, Sequence

import chainer

from chainfpn._typing import Variable
from chainfpn.links.fpn import FPN


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
