"""The floating-point operations of layers."""

import chainer
import chainer.links as L


class Work(chainer.LinkHook):
    """Count the operations of convolutions and linear layers, a product and a sum each as one.

    Attributes:
        forward (int): Operations of the forward passes.
        backward (int): Those of the gradients that the layers need.
    """

    name = "Work"

    def __init__(self):
        super().__init__()
        self.forward = self.backward = 0

    def forward_postprocess(self, args):
        """Add those of one layer."""
        if not isinstance(args.link, (L.Convolution2D, L.Linear)):
            return
        x, W = args.args[0], args.link.W
        work = 2 * args.out.size * W[0].size
        self.forward += work
        self.backward += work * (W.requires_grad + (isinstance(x, chainer.Variable) and x.requires_grad))
