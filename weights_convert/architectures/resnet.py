"""ResNets: the shapes of every tensor, and the way back from shapes to the network."""

import re
from dataclasses import dataclass

from chainfpn.models.registry import RESNETS
from weights_convert._typing import AnyShapes, Shapes
from weights_convert.architectures.shapes import conv, norm

#: Blocks in each stage -> depth, for each kind of block.
_DEPTHS = {
    ("basic", (2, 2, 2, 2)): 18,
    ("basic", (3, 4, 6, 3)): 34,
    ("bottleneck", (3, 4, 6, 3)): 50,
    ("bottleneck", (3, 4, 23, 3)): 101,
    ("bottleneck", (3, 8, 36, 3)): 152,
}

#: (depth, groups, width of the first 3x3) -> builder.
NAMED = {(depth, groups, groups * width): name for name, (depth, groups, width) in RESNETS.items()}


@dataclass(frozen=True)
class Trunk:
    """A ResNet without its last layer.

    Attributes:
        kind (str): ``"basic"`` or ``"bottleneck"``.
        blocks (tuple of int): How many blocks each stage has; one to four stages.
        groups (int): Of the 3x3 in a bottleneck.
        width (int): Channels of the 3x3 in the first stage.
        statistics (bool): Whether its norms have running statistics, as a batch's have and a group's have not.
    """

    kind: str
    blocks: tuple[int, ...]
    groups: int = 1
    width: int = 64
    statistics: bool = True

    @property
    def depth(self) -> int | None:
        """The depth in its name, of the whole network where stages are cut; ``None`` if no network has these blocks."""
        return next(iter(self._depths), None)

    @property
    def _depths(self) -> list[int]:
        n = len(self.blocks)
        return [depth for (kind, b), depth in _DEPTHS.items() if kind == self.kind and b[:n] == self.blocks]

    @property
    def name(self) -> str | None:
        """The builder's name, or ``None`` for a network that has none."""
        return next((NAMED[key] for d in self._depths if (key := (d, self.groups, self.width)) in NAMED), None)

    @property
    def n_stages(self) -> int:
        """How many of the four stages there are."""
        return len(self.blocks)

    def channels(self, stage: int) -> int:
        """Return the channels out of ``stage`` (1 to 4)."""
        return 64 * 2 ** (stage - 1) * (4 if self.kind == "bottleneck" else 1)

    def shapes(self, prefix: str = "") -> Shapes:
        """Return ``{name: shape}`` of every tensor, in torchvision's names."""
        shapes = conv(f"{prefix}conv1", 3, 64, 7) | norm(f"{prefix}bn1", 64, statistics=self.statistics)
        channels = 64
        for stage, n_blocks in enumerate(self.blocks, 1):
            for i in range(n_blocks):
                shapes |= self._block(f"{prefix}layer{stage}.{i}.", stage, channels)
                channels = self.channels(stage)
        return shapes

    def _block(self, at: str, stage: int, channels: int) -> Shapes:
        width, out = self.width * 2 ** (stage - 1), self.channels(stage)
        if self.kind == "basic":
            layers = [(channels, out, 3), (out, out, 3)]
        else:
            layers = [(channels, width, 1), (width // self.groups, width, 3), (width, out, 1)]
        shapes: Shapes = {}
        for i, (n_in, n_out, size) in enumerate(layers, 1):
            shapes |= conv(f"{at}conv{i}", n_in, n_out, size) | norm(f"{at}bn{i}", n_out, statistics=self.statistics)
        if at.endswith(".0.") and (stage > 1 or channels != out):
            shapes |= conv(f"{at}downsample.0", channels, out, 1)
            shapes |= norm(f"{at}downsample.1", out, statistics=self.statistics)
        return shapes


def find_trunk(shapes: AnyShapes, prefix: str = "") -> Trunk | None:
    """Return the `Trunk` whose first layers these shapes have, or ``None``.

    Only what decides is looked at: the number of blocks, their kind, groups and width. Whether everything else is there
    is for the comparison with `Trunk.shapes`.
    """
    blocks: dict[int, int] = {}
    pattern = re.compile(re.escape(prefix) + r"layer([1-4])\.(\d{1,2})\.")
    for name in shapes:
        if match := pattern.match(name):
            stage = int(match[1])
            blocks[stage] = max(blocks.get(stage, 0), int(match[2]) + 1)
    if not blocks or sorted(blocks) != list(range(1, len(blocks) + 1)):
        return None
    statistics = f"{prefix}bn1.running_mean" in shapes or f"{prefix}bn1.weight" not in shapes
    counts = tuple(blocks[stage] for stage in sorted(blocks))
    if f"{prefix}layer1.0.conv3.weight" not in shapes:
        return Trunk("basic", counts, statistics=statistics)
    middle = shapes.get(f"{prefix}layer1.0.conv2.weight", (64, 64, 3, 3))
    if len(middle) != 4 or not middle[1] or middle[0] % middle[1]:
        return None
    return Trunk("bottleneck", counts, middle[0] // middle[1], middle[0], statistics)
