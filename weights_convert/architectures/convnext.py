"""The ConvNeXts: the shapes of their ``features`` and heads."""

from chainfpn.models.convnext import Architecture
from weights_convert._typing import Shapes
from weights_convert.architectures.shapes import conv, linear, norm


def convnext(architecture: Architecture) -> Shapes:
    """Return the shapes of a ConvNeXt's features."""
    channels, n_blocks, _ = architecture
    shapes, n_in = conv("features.0.0", 3, channels[0], 4, True), channels[0]
    shapes |= norm("features.0.1", n_in, statistics=False)
    for stage, (width, n) in enumerate(zip(channels, n_blocks, strict=True)):
        if stage:
            at = f"features.{2 * stage}."
            shapes |= norm(f"{at}0", n_in, statistics=False) | conv(f"{at}1", n_in, width, 2, True)
            n_in = width
        for i in range(n):
            at = f"features.{2 * stage + 1}.{i}."
            shapes |= {f"{at}layer_scale": (width, 1, 1)} | conv(f"{at}block.0", 1, width, 7, True)
            shapes |= norm(f"{at}block.2", width, statistics=False)
            shapes |= linear(f"{at}block.3", width, 4 * width) | linear(f"{at}block.5", 4 * width, width)
    return shapes


def convnext_head(width: int, n_class: int) -> Shapes:
    """Return the shapes of the head of a ConvNeXt of so many channels."""
    return norm("classifier.0", width, statistics=False) | linear("classifier.2", width, n_class)
