"""Fresh layers with torch's initial values, so that training from scratch starts as it does there."""

import math

import chainer.links as L
from chainer import initializers

from chainfpn.links.convolution_2d import Convolution2D


def convolution(in_channels, out_channels, ksize, *, stride=1, dilate=1, groups=1):
    """Make the convolution of a residual network: no bias, Kaiming-normal over the fan-out, same size at stride 1.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        ksize (int): Side of the kernel, odd.
        stride (int): Step in pixels.
        dilate (int): Distance of the taps in pixels.
        groups (int): Number of independent channel groups.

    Returns:
        Convolution2D: (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).

    Source:
        He et al. 2015; torchvision 0.14 ``ResNet.__init__``.
    """
    return Convolution2D(
        in_channels,
        out_channels,
        ksize,
        stride=stride,
        pad=dilate * (ksize // 2),
        nobias=True,
        initialW=initializers.HeNormal(fan_option="fan_out"),
        dilate=dilate,
        groups=groups,
    )


def linear(in_size, out_size):
    """Make a fully connected layer that starts like ``torch.nn.Linear``.

    Weights and biases are uniform in +-1/sqrt(in_size).

    Args:
        in_size (int): Features in.
        out_size (int): Features out.

    Returns:
        chainer.links.Linear: (B, in_size) to (B, out_size).

    Source:
        PyTorch 1.13 ``Linear.reset_parameters``.
    """
    uniform = initializers.Uniform(1 / math.sqrt(in_size))
    return L.Linear(in_size, out_size, initialW=uniform, initial_bias=uniform)
