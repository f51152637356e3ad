"""The types that the signatures of builders share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from chainfpn._typing import Norm as Norm

if TYPE_CHECKING:
    from chainfpn.models._weights import Weights

#: Weights to start from: a word for published ones, a path, or what has been read already.
Pretrained: TypeAlias = "str | os.PathLike[str] | Weights | None"
#: Names of the labels, or the name of their set.
LabelNames: TypeAlias = "str | Sequence[str] | None"
#: Lengths in pixels: one, or several.
Sides: TypeAlias = "int | Sequence[int]"
#: Per level of the pyramid, sizes of anchors in pixels.
AnchorSizes: TypeAlias = "Sequence[Sequence[float]] | None"
