"""Towers of convolutions over every level: what the heads of one-stage detectors are made of."""

import math

import chainer.functions as F
from chainer import initializers

from chainfpn.links.convolution_2d import Convolution2D
from chainfpn.links.indexed_sequential import IndexedSequential

#: Bias of class logits so that a fresh network calls everything background with this confidence.
PRIOR_PROBABILITY = 0.01


def tower(channels, *, norm=None, nobias=False, nested=False):
    """Make four 3x3 convolutions, each followed by its normalization and ReLU.

    Args:
        channels (int): Channels in and out.
        norm (callable or None): Makes a normalization link for a number of channels.
        nobias (bool): Leave the biases out.
        nested (bool): Group each convolution with its followers, as torchvision's newer heads do; this decides the
            names of the weights, nothing else.

    Returns:
        IndexedSequential: (B, channels, H, W) to (B, channels, H, W).

    Source:
        torchvision 0.14 ``RetinaNetClassificationHead``, ``FCOSClassificationHead``.
    """
    blocks = []
    for _ in range(4):
        convolution = prediction(channels, channels, nobias=nobias)
        block = [convolution, F.relu] if norm is None else [convolution, norm(channels), F.relu]
        blocks += [IndexedSequential(*block)] if nested else block
    return IndexedSequential(*blocks)


def prediction(in_channels, out_channels, *, bias=0, nobias=False):
    """Make a 3x3 convolution that starts as the heads of one-stage detectors do: normal weights of deviation 0.01.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        bias (float): Initial bias.
        nobias (bool): Leave the bias out.

    Returns:
        Convolution2D: (B, in_channels, H, W) to (B, out_channels, H, W).
    """
    normal = initializers.Normal(0.01)
    return Convolution2D(in_channels, out_channels, 3, pad=1, nobias=nobias, initialW=normal, initial_bias=bias)


def classification(in_channels, out_channels):
    """Make the :func:`prediction` of class logits, which starts by calling everything background.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Anchors times classes.

    Returns:
        Convolution2D: (B, in_channels, H, W) to (B, out_channels, H, W).

    Source:
        Lin et al. 2017 (RetinaNet), section 4.1.
    """
    return prediction(in_channels, out_channels, bias=-math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))


def per_anchor(h, n):
    """Bring the output of a convolution into one row per anchor.

    Args:
        h (Variable): (B, A * n, H, W).
        n (int): Numbers per anchor.

    Returns:
        Variable: (B, H * W * A, n); positions row-major, the A anchors of a position next to each other.
    """
    return F.reshape(F.transpose(h, (0, 2, 3, 1)), (h.shape[0], -1, n))
