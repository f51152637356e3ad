"""The head of Faster R-CNN: features of a region in, class scores and boxes out."""

import math
from collections.abc import Callable
from typing import Any

import chainer
import chainer.functions as F

from chainfpn._typing import Variable
from chainfpn.links._conv_norm_activation import conv_norm_activation
from chainfpn.links.indexed_sequential import IndexedSequential
from chainfpn.links.initialization import linear


class TwoMLPHead(chainer.Chain):
    """Two fully connected layers.

    Args:
        in_size (int): Numbers per region, C * outh * outw.
        out_size (int): Width of both layers.

    Source:
        Lin et al. 2017, section 4.2; torchvision 0.14 ``TwoMLPHead``.
    """

    def __init__(self, in_size: int, out_size: int) -> None:
        super().__init__()
        with self.init_scope():
            self.fc6 = linear(in_size, out_size)
            self.fc7 = linear(out_size, out_size)

    def forward(self, x: Variable) -> Variable:
        """Compute the representation of each region.

        Args:
            x (Variable): (R', C, outh, outw).

        Returns:
            Variable: (R', out_size).
        """
        return F.relu(self.fc7(F.relu(self.fc6(_flatten(x)))))


def conv_box_head(channels: int, outsize: int, out_size: int, *, norm: Callable[[int], Any]) -> IndexedSequential:
    """Make four 3x3 convolutions with normalization and one fully connected layer.

    Args:
        channels (int): Channels in, and of every convolution.
        outsize (int): Side of the grid that a region is pooled to.
        out_size (int): Width of the fully connected layer.
        norm (callable): Makes a normalization link for a number of channels.

    Returns:
        IndexedSequential: (R', channels, outsize, outsize) to (R', out_size).

    Source:
        torchvision 0.14 ``FastRCNNConvFCHead``.
    """
    convolutions = [conv_norm_activation(channels, channels, norm=norm) for _ in range(4)]
    return IndexedSequential(*convolutions, _flatten, linear(channels * outsize**2, out_size), F.relu)


class FastRCNNPredictor(chainer.Chain):
    """Class scores and per-class boxes by one linear layer each.

    Args:
        in_size (int): Width of the representation.
        n_output (int): Classes including the background, which is class 0.

    Source:
        Girshick 2015; torchvision 0.14 ``FastRCNNPredictor``.
    """

    def __init__(self, in_size: int, n_output: int) -> None:
        super().__init__()
        with self.init_scope():
            self.cls_score = linear(in_size, n_output)
            self.bbox_pred = linear(in_size, 4 * n_output)

    def forward(self, x: Variable) -> tuple[Variable, Variable]:
        """Predict.

        Args:
            x (Variable): (R', in_size).

        Returns:
            tuple of Variable: Class logits (R', K) and deltas (R', 4K), dx, dy, dw, dh per class.
        """
        return self.cls_score(x), self.bbox_pred(x)


def _flatten(x):
    """Flatten all but the first axis, also of no region at all."""
    return F.reshape(x, (len(x), math.prod(x.shape[1:])))
