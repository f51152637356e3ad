"""Convolution, normalization, activation: the building block of the mobile networks."""

from collections.abc import Callable

import chainer.functions as F

from chainfpn.links.batch_normalization import BatchNormalization
from chainfpn.links.layers import IndexedSequential, convolution


def conv_norm_activation(
    in_channels: int,
    out_channels: int,
    ksize: int = 3,
    *,
    stride: int = 1,
    dilate: int = 1,
    groups: int = 1,
    norm: Callable = BatchNormalization,
    activation: Callable | None = F.relu,
) -> IndexedSequential:
    """Chain a convolution without bias, its normalization and an activation.

    Args:
        in_channels, out_channels, ksize, stride, dilate, groups: See
            :func:`~chainfpn.links.layers.convolution`.
        norm (callable): Makes the normalization link for a number of channels.
        activation (callable or None): The function at the end; None for none.

    Returns:
        IndexedSequential: (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).

    Source:
        torchvision 0.14 ``Conv2dNormActivation``.
    """
    conv = convolution(in_channels, out_channels, ksize, stride=stride, dilate=dilate, groups=groups)
    return IndexedSequential(conv, norm(out_channels), *([] if activation is None else [activation]))
