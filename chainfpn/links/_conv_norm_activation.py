"""Convolution, normalization, activation: the brick of the mobile networks."""

import chainer.functions as F

from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.indexed_sequential import IndexedSequential
from chainfpn.links.initialization import convolution


def conv_norm_activation(
    in_channels, out_channels, ksize=3, *, stride=1, dilate=1, groups=1, norm=BatchNormalization, activation=F.relu
):
    """Chain a convolution without bias, its normalization and an activation.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        ksize (int): Side of the kernel, odd.
        stride (int): Step in pixels.
        dilate (int): Distance of the taps in pixels.
        groups (int): Number of independent channel groups.
        norm (callable): Makes the normalization link for a number of channels.
        activation (callable or None): The function at the end, if any.

    Returns:
        IndexedSequential: (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).

    Source:
        torchvision 0.14 ``Conv2dNormActivation``.
    """
    conv = convolution(in_channels, out_channels, ksize, stride=stride, dilate=dilate, groups=groups)
    return IndexedSequential(conv, norm(out_channels), *([] if activation is None else [activation]))
