"""The floating-point operations of layers."""

from typing import Any

import chainer
import chainer.links as L


class FlopCounter(chainer.LinkHook):
    """Count the operations of convolutions and linear layers, a product and a sum each as one.

    Attributes:
        forward (int): Operations of the forward passes.
        backward (int): Those of the gradients that the layers need.
    """

    name = "FlopCounter"

    def __init__(self) -> None:
        super().__init__()
        self.forward = self.backward = 0

    def __enter__(self) -> "FlopCounter":
        super().__enter__()
        return self

    def forward_postprocess(self, args: Any) -> None:
        """Add those of one layer."""
        if not isinstance(args.link, (L.Convolution2D, L.Linear)):
            return
        x, W = args.args[0], args.link.W
        n = 2 * args.out.size * (W.size // len(W))
        self.forward += n
        self.backward += n * (W.requires_grad + (isinstance(x, chainer.Variable) and x.requires_grad))
