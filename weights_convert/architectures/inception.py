"""GoogLeNet and Inception v3: the shapes of all but the last layer."""

import re

from weights_convert._typing import Shapes
from weights_convert.architectures.shapes import conv, linear, norm

#: Of each block of GoogLeNet: channels in, and those of branch1, 2.0, 2.1, 3.0, 3.1, 4.1.
_GOOGLENET = {
    "3a": (192, 64, 96, 128, 16, 32, 32), "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64), "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64), "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128), "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}  # fmt: skip

#: Kinds of blocks of Inception v3: a layer's branch and number, channels out (``C`` is the block's own number), kernel.
_A = "1x1 64 1x1, 5x5_1 48 1x1, 5x5_2 64 5x5, 3x3dbl_1 64 1x1, 3x3dbl_2 96 3x3, 3x3dbl_3 96 3x3, _pool C 1x1"
_B = "3x3 384 3x3, 3x3dbl_1 64 1x1, 3x3dbl_2 96 3x3, 3x3dbl_3 96 3x3"
_C = (
    "1x1 192 1x1, 7x7_1 C 1x1, 7x7_2 C 1x7, 7x7_3 192 7x1, 7x7dbl_1 C 1x1, 7x7dbl_2 C 7x1, 7x7dbl_3 C 1x7, "
    "7x7dbl_4 C 7x1, 7x7dbl_5 192 1x7, _pool 192 1x1"
)
_D = "3x3_1 192 1x1, 3x3_2 320 3x3, 7x7x3_1 192 1x1, 7x7x3_2 192 1x7, 7x7x3_3 192 7x1, 7x7x3_4 192 3x3"
_E = (
    "1x1 320 1x1, 3x3_1 384 1x1, 3x3_2a 384 1x3, 3x3_2b 384 3x1, 3x3dbl_1 448 1x1, 3x3dbl_2 384 3x3, "
    "3x3dbl_3a 384 1x3, 3x3dbl_3b 384 3x1, _pool 192 1x1"
)

#: Block -> its kind, channels in, its own number.
_INCEPTION = {
    "Mixed_5b": (_A, 192, 32), "Mixed_5c": (_A, 256, 64), "Mixed_5d": (_A, 288, 64), "Mixed_6a": (_B, 288, 0),
    "Mixed_6b": (_C, 768, 128), "Mixed_6c": (_C, 768, 160), "Mixed_6d": (_C, 768, 160), "Mixed_6e": (_C, 768, 192),
    "Mixed_7a": (_D, 768, 0), "Mixed_7b": (_E, 1280, 0), "Mixed_7c": (_E, 2048, 0),
}  # fmt: skip


def _unit(name: str, n_in: int, n_out: int, size: int | tuple[int, int]) -> Shapes:
    return conv(f"{name}.conv", n_in, n_out, size) | norm(f"{name}.bn", n_out)


def googlenet() -> Shapes:
    """Return the shapes of GoogLeNet without its heads."""
    shapes = _unit("conv1", 3, 64, 7) | _unit("conv2", 64, 64, 1) | _unit("conv3", 64, 192, 3)
    for block, (n_in, one, two, two_out, three, three_out, four) in _GOOGLENET.items():
        at = f"inception{block}.branch"
        shapes |= _unit(f"{at}1", n_in, one, 1) | _unit(f"{at}4.1", n_in, four, 1)
        shapes |= _unit(f"{at}2.0", n_in, two, 1) | _unit(f"{at}2.1", two, two_out, 3)
        shapes |= _unit(f"{at}3.0", n_in, three, 1) | _unit(f"{at}3.1", three, three_out, 3)
    return shapes


def googlenet_auxiliary(n_class: int) -> Shapes:
    """Return the shapes of GoogLeNet's auxiliary heads."""
    shapes: Shapes = {}
    for name, n_in in (("aux1", 512), ("aux2", 528)):
        shapes |= _unit(f"{name}.conv", n_in, 128, 1) | linear(f"{name}.fc1", 2048, 1024)
        shapes |= linear(f"{name}.fc2", 1024, n_class)
    return shapes


def inception_v3() -> Shapes:
    """Return the shapes of Inception v3 without its heads."""
    shapes: Shapes = {}
    for name, n_in, n_out, size in (
        ("1a_3x3", 3, 32, 3), ("2a_3x3", 32, 32, 3), ("2b_3x3", 32, 64, 3), ("3b_1x1", 64, 80, 1),
        ("4a_3x3", 80, 192, 3),
    ):  # fmt: skip
        shapes |= _unit(f"Conv2d_{name}", n_in, n_out, size)
    for block, (kind, n_block, own) in _INCEPTION.items():
        before = n_block
        for layer in kind.split(", "):
            name, channels, kernel = layer.split()
            n_out, (height, width) = own if channels == "C" else int(channels), map(int, kernel.split("x"))
            n_in = before if re.search(r"_[2-9]", name) else n_block  # a branch goes on, or begins
            shapes |= _unit(f"{block}.branch{name}", n_in, n_out, (height, width))
            before = n_out
    return shapes


def inception_auxiliary(n_class: int) -> Shapes:
    """Return the shapes of Inception v3's auxiliary head."""
    shapes = _unit("AuxLogits.conv0", 768, 128, 1) | _unit("AuxLogits.conv1", 128, 768, 5)
    return shapes | linear("AuxLogits.fc", 768, n_class)
