"""The EfficientNets: the shapes of their ``features``."""

from chainfpn.models.efficientnet import Architecture
from weights_convert._typing import Shapes
from weights_convert.architectures.mobilenet import inverted_residual
from weights_convert.architectures.shapes import conv_norm


def efficientnet(architecture: Architecture) -> Shapes:
    """Return the shapes of an EfficientNet's features."""
    n_in, rows, last = architecture[:3]
    shapes = conv_norm("features.0", 3, n_in, 3)
    for stage, (fused, expansion, size, _, n_out, n_blocks) in enumerate(rows, 1):
        for i in range(n_blocks):
            at, width = f"features.{stage}.{i}.block.", n_in * expansion
            if not fused:
                shapes |= inverted_residual(at, n_in, (size, width, n_out, True), squeezed=max(1, n_in // 4))
            elif expansion == 1:
                shapes |= conv_norm(f"{at}0", n_in, n_out, size)
            else:
                shapes |= conv_norm(f"{at}0", n_in, width, size) | conv_norm(f"{at}1", width, n_out, 1)
            n_in = n_out
    return shapes | conv_norm(f"features.{len(rows) + 1}", n_in, last, 1)
