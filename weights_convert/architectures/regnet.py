"""The RegNets: the shapes of their trunks."""

from chainfpn.models.regnet import Architecture
from weights_convert._typing import Shapes
from weights_convert.architectures.shapes import conv, conv_norm


def regnet(architecture: Architecture) -> Shapes:
    """Return the shapes of all of a RegNet but its last layer."""
    shapes, n_in = conv_norm("stem", 3, 32, 3), 32
    for stage, (width, n_blocks, group) in enumerate(architecture.rows, 1):
        for i in range(n_blocks):
            at = f"trunk_output.block{stage}.block{stage}-{i}."
            shapes |= conv_norm(f"{at}proj", n_in, width, 1) if i == 0 else {}
            shapes |= conv_norm(f"{at}f.a", n_in, width, 1) | conv_norm(f"{at}f.b", group, width, 3)
            if architecture.squeezes:
                squeezed = round(n_in / 4)
                shapes |= conv(f"{at}f.se.fc1", width, squeezed, 1, True)
                shapes |= conv(f"{at}f.se.fc2", squeezed, width, 1, True)
            shapes |= conv_norm(f"{at}f.c", width, width, 1)
            n_in = width
    return shapes
