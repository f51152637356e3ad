"""The head of Faster R-CNN: features of a region in, class scores and boxes out."""

import chainer
import chainer.functions as F

from chainfpn.links.initialization import linear


class TwoMLPHead(chainer.Chain):
    """Two fully connected layers.

    Args:
        in_size (int): Numbers per region, C * outh * outw.
        out_size (int): Width of both layers.

    Source:
        Lin et al. 2017, section 4.2; torchvision 0.14 ``TwoMLPHead``.
    """

    def __init__(self, in_size, out_size):
        super().__init__()
        with self.init_scope():
            self.fc6 = linear(in_size, out_size)
            self.fc7 = linear(out_size, out_size)

    def forward(self, x):
        """Compute the representation of each region.

        Args:
            x (Variable): (R', C, outh, outw).

        Returns:
            Variable: (R', out_size).
        """
        return F.relu(self.fc7(F.relu(self.fc6(x))))


class FastRCNNPredictor(chainer.Chain):
    """Class scores and per-class boxes by one linear layer each.

    Args:
        in_size (int): Width of the representation.
        n_output (int): Classes including the background, which is output 0.

    Source:
        Girshick 2015; torchvision 0.14 ``FastRCNNPredictor``.
    """

    def __init__(self, in_size, n_output):
        super().__init__()
        with self.init_scope():
            self.cls_score = linear(in_size, n_output)
            self.bbox_pred = linear(in_size, 4 * n_output)

    def forward(self, x):
        """Predict.

        Args:
            x (Variable): (R', in_size).

        Returns:
            tuple of Variable: Class logits (R', n_output) and deltas (R', 4 * n_output), dx, dy, dw, dh per class.
        """
        return self.cls_score(x), self.bbox_pred(x)
