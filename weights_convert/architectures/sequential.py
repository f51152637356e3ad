"""AlexNet, the VGGs, SqueezeNets and DenseNets: the shapes of their ``features``."""

from collections.abc import Sequence

from weights_convert._typing import Shapes
from weights_convert.architectures.shapes import conv, norm


def alexnet() -> Shapes:
    """Return the shapes of AlexNet's features."""
    shapes: Shapes = {}
    for i, n_in, n_out, size in (
        (0, 3, 64, 11),
        (3, 64, 192, 5),
        (6, 192, 384, 3),
        (8, 384, 256, 3),
        (10, 256, 256, 3),
    ):
        shapes |= conv(f"features.{i}", n_in, n_out, size, True)
    return shapes


def vgg(n_convolutions: Sequence[int], *, normed: bool = False) -> Shapes:
    """Return the shapes of a VGG's features.

    Args:
        n_convolutions (sequence of int): Convolutions of each stage.
        normed (bool): Whether each is followed by a norm.
    """
    shapes: Shapes = {}
    i, n_in = 0, 3
    for n, n_out in zip(n_convolutions, (64, 128, 256, 512, 512), strict=True):
        for _ in range(n):
            shapes |= conv(f"features.{i}", n_in, n_out, 3, True) | (norm(f"features.{i + 1}", n_out) if normed else {})
            i, n_in = i + (3 if normed else 2), n_out  # an activation follows
        i += 1  # a pooling follows
    return shapes


def squeezenet(first: tuple[int, int], n_fires: Sequence[int]) -> Shapes:
    """Return the shapes of a SqueezeNet's features.

    Args:
        first ((int, int)): Channels and kernel of the first convolution.
        n_fires (sequence of int): Fire blocks of each resolution.
    """
    n_in, size = first
    shapes = conv("features.0", 3, n_in, size, True)
    resolutions = [resolution for resolution, n in enumerate(n_fires) for _ in range(n)]
    for i, (resolution, width) in enumerate(zip(resolutions, (16, 16, 32, 32, 48, 48, 64, 64), strict=True)):
        at = f"features.{i + resolution + 3}."  # a pooling stands before each resolution
        shapes |= conv(f"{at}squeeze", n_in, width, 1, True)
        shapes |= conv(f"{at}expand1x1", width, 4 * width, 1, True) | conv(f"{at}expand3x3", width, 4 * width, 3, True)
        n_in = 8 * width
    return shapes


def densenet(n_layers: Sequence[int], growth: int, channels: int) -> Shapes:
    """Return the shapes of a DenseNet's features.

    Args:
        n_layers (sequence of int): Dense layers of each block.
        growth (int): Channels that each adds.
        channels (int): Those of the first convolution.
    """
    shapes = conv("features.conv0", 3, channels, 7) | norm("features.norm0", channels)
    for i, n in enumerate(n_layers, 1):
        for k in range(1, n + 1):
            at = f"features.denseblock{i}.denselayer{k}."
            shapes |= norm(f"{at}norm1", channels) | conv(f"{at}conv1", channels, 4 * growth, 1)
            shapes |= norm(f"{at}norm2", 4 * growth) | conv(f"{at}conv2", 4 * growth, growth, 3)
            channels += growth
        if i < len(n_layers):
            at = f"features.transition{i}."
            shapes |= norm(f"{at}norm", channels) | conv(f"{at}conv", channels, channels // 2, 1)
            channels //= 2
    return shapes | norm("features.norm5", channels)
