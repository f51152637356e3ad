"""MobileNetV2 and V3: the shapes of their ``features``."""

from collections.abc import Sequence

from chainfpn._divisible import make_divisible
from weights_convert._typing import Shapes
from weights_convert.architectures.shapes import conv, conv_norm, norm

#: Of each stage of MobileNetV2: expansion, channels, blocks.
_STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))

Block = tuple[int, int, int, bool]

#: Of each block of MobileNetV3-Large: kernel, widened channels, channels out, whether its channels are weighed.
LARGE: tuple[Block, ...] = (
    (3, 16, 16, False), (3, 64, 24, False), (3, 72, 24, False), (5, 72, 40, True), *((5, 120, 40, True),) * 2,
    (3, 240, 80, False), (3, 200, 80, False), *((3, 184, 80, False),) * 2, (3, 480, 112, True), (3, 672, 112, True),
    (5, 672, 160, True), *((5, 960, 160, True),) * 2,
)  # fmt: skip

#: The same of MobileNetV3-Small.
SMALL: tuple[Block, ...] = (
    (3, 16, 16, True), (3, 72, 24, False), (3, 88, 24, False), (5, 96, 40, True), *((5, 240, 40, True),) * 2,
    (5, 120, 48, True), (5, 144, 48, True), (5, 288, 96, True), *((5, 576, 96, True),) * 2,
)  # fmt: skip


def mobilenet_v2() -> Shapes:
    """Return the shapes of MobileNetV2's features."""
    shapes, n_in, i = conv_norm("features.0", 3, 32, 3), 32, 0
    for expansion, n_out, n in _STAGES:
        for _ in range(n):
            i += 1
            at, width, last = f"features.{i}.conv.", n_in * expansion, 1 if expansion == 1 else 2
            shapes |= conv_norm(f"{at}0", n_in, width, 1) if expansion > 1 else {}
            shapes |= conv_norm(f"{at}{last - 1}", 1, width, 3)
            shapes |= conv(f"{at}{last}", width, n_out, 1) | norm(f"{at}{last + 1}", n_out)
            n_in = n_out
    return shapes | conv_norm("features.18", n_in, 1280, 1)


def mobilenet_v3(blocks: Sequence[Block], prefix: str = "features.") -> Shapes:
    """Return the shapes of a MobileNetV3's features, see `LARGE` and `SMALL`."""
    shapes, n_in = conv_norm(f"{prefix}0", 3, 16, 3), 16
    for i, block in enumerate(blocks, 1):
        shapes |= inverted_residual(f"{prefix}{i}.block.", n_in, block)
        n_in = block[2]
    return shapes | conv_norm(f"{prefix}{len(blocks) + 1}", n_in, 6 * n_in, 1)


def inverted_residual(at: str, n_in: int, block: Block, squeezed: int | None = None) -> Shapes:
    """Return the shapes of one block of a MobileNetV3, or with other ``squeezed`` channels of an EfficientNet."""
    size, width, n_out, weighed = block
    first = 0 if width == n_in else 1  # a block that does not widen begins with its depthwise convolution
    shapes = conv_norm(f"{at}0", n_in, width, 1) if first else {}
    shapes |= conv_norm(f"{at}{first}", 1, width, size)
    if weighed:
        squeezed = make_divisible(width // 4) if squeezed is None else squeezed
        shapes |= conv(f"{at}{first + 1}.fc1", width, squeezed, 1, True)
        shapes |= conv(f"{at}{first + 1}.fc2", squeezed, width, 1, True)
    return shapes | conv_norm(f"{at}{first + 1 + weighed}", width, n_out, 1)
