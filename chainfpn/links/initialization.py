"""Fresh layers with torch's initial values, so that training from scratch starts as it does there."""

import math

from chainer import initializers

from chainfpn.links.convolution_2d import Convolution2D, Linear


def convolution(
    in_channels: int, out_channels: int, ksize: int, *, stride: int = 1, dilate: int = 1, groups: int = 1
) -> Convolution2D:
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
    initial, pad = initializers.HeNormal(fan_option="fan_out"), dilate * (ksize // 2)
    options = {"nobias": True, "initialW": initial, "dilate": dilate, "groups": groups}
    return Convolution2D(in_channels, out_channels, ksize, stride, pad, **options)


def linear(in_size: int, out_size: int) -> Linear:
    """Make a fully connected layer that starts like ``torch.nn.Linear``.

    Weights and biases are uniform in +-1/sqrt(in_size).

    Args:
        in_size (int): Features in.
        out_size (int): Features out.

    Returns:
        Linear: (B, in_size) to (B, out_size).

    Source:
        PyTorch 1.13 ``Linear.reset_parameters``.
    """
    uniform = initializers.Uniform(1 / math.sqrt(in_size))
    return Linear(in_size, out_size, initialW=uniform, initial_bias=uniform)
