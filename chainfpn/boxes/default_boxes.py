"""Default boxes: the anchors of SSD, in shares of the image and not of pixels."""

import math
from collections.abc import Sequence

import numpy as np

from chainfpn.boxes.anchors import BoxGenerator
from chainfpn.errors import InvalidArgument


class DefaultBoxGenerator(BoxGenerator):
    """Place each level's own boxes at every place of it.

    Level k has a scale s_k, a share of the image's side. Its boxes are a square of side s_k, a square of side
    sqrt(s_k * s_k+1), and for every ratio r a box s_k * sqrt(r) wide and s_k / sqrt(r) high and the same one upright.
    No side is longer than the image's. Those of place (i, j) are centred on pixel ((i + 0.5) * step,
    (j + 0.5) * step).

    Args:
        aspect_ratios (sequence of sequences of float): Per level, ratios of the longer side to the shorter.
        scales (sequence of float): One per level, and the one that would follow.
        steps (sequence of float): Per level, pixels of the image per place.

    Raises:
        ValueError: if the numbers of levels do not agree, or a number is not > 0.

    Source:
        Liu et al. 2016 (SSD), section 2.2; torchvision 0.14 ``DefaultBoxGenerator``.

    Example:
        >>> boxes = DefaultBoxGenerator([[2]], [0.5, 0.5], [100])
        >>> boxes([(1, 1)], (200, 200), np)[0][:2]
        array([[  0.,   0., 100., 100.],
               [  0.,   0., 100., 100.]], dtype=float32)
    """

    def __init__(
        self, aspect_ratios: Sequence[Sequence[float]], scales: Sequence[float], steps: Sequence[float]
    ) -> None:
        self.aspect_ratios = tuple(tuple(float(r) for r in level) for level in aspect_ratios)
        self.scales = tuple(float(s) for s in scales)
        self.steps = tuple(float(s) for s in steps)
        for name, values, n in (("scales", self.scales, self.n_levels + 1), ("steps", self.steps, self.n_levels)):
            if len(values) != n:
                raise ValueError(
                    f"DefaultBoxGenerator: {name} must have {n} entries for {self.n_levels} levels, got {len(values)}"
                )
        ratios = sum(self.aspect_ratios, ())
        for name, values in (("aspect_ratios", ratios), ("scales", self.scales), ("steps", self.steps)):
            if min(values, default=1) <= 0:
                raise InvalidArgument("DefaultBoxGenerator", name, "> 0", values)

    @property
    def n_levels(self) -> int:
        """int: Number of levels that boxes are defined for."""
        return len(self.aspect_ratios)

    @property
    def n_anchors(self) -> tuple[int, ...]:
        """Tuple of int: Per level, boxes a place."""
        return tuple(2 + 2 * len(ratios) for ratios in self.aspect_ratios)

    def _make(self, map_sizes, image_size, xp):
        image = xp.asarray(image_size, dtype=np.float32)  # (2,)
        boxes = []
        for level, (size, step) in enumerate(zip(map_sizes, self.steps, strict=True)):
            y, x = (
                (xp.arange(n, dtype=np.float32) + 0.5) / (side / step) for n, side in zip(size, image_size, strict=True)
            )
            centres = xp.stack(xp.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 1, 2)  # (HW, 1, 2), in shares
            halves = 0.5 * xp.asarray(self._sides(level))  # (A, 2)
            corners = xp.concatenate(((centres - halves) * image, (centres + halves) * image), axis=2)  # (HW, A, 4)
            boxes.append(corners.reshape(-1, 4))  # (HWA, 4)
        return boxes

    def _sides(self, level):
        """Make the heights and widths of a level's boxes, in shares of the image: float32, (A, 2)."""
        scale, following = self.scales[level : level + 2]
        between = math.sqrt(scale * following)
        sides = [(scale, scale), (between, between)]
        for ratio in self.aspect_ratios[level]:
            longer, shorter = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            sides += [(shorter, longer), (longer, shorter)]
        return np.minimum(np.array(sides, dtype=np.float32), 1)
