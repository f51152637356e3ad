"""Keypoints: which one each is in a mirror, and those of an object of COCO."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainfpn._typing import Array
from chainfpn.datasets._files import MAX_NUMBER
from chainfpn.datasets._json import are_numbers
from chainfpn.errors import InvalidArgument

#: A side in the name of a keypoint: a word or, between other signs, a letter.
_SIDE = re.compile(r"left|right|(?<![a-z0-9])[lr](?![a-z0-9])", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


def mirrored_keypoints(names: Sequence[str]) -> tuple[int, ...]:
    """Find for each keypoint the one that it is in a mirror.

    A name says its side by ``left`` or ``right`` anywhere, or by a letter, ``l`` or ``r``, that stands alone.

    Args:
        names (sequence of str): Names of the keypoints.

    Returns:
        tuple of int: For :class:`~chainfpn.datasets.RandomFlip`: an index for each; that of itself where no side is
        named.

    Raises:
        InvalidArgument: if the other side of one is not there.

    Example:
        >>> mirrored_keypoints(["nose", "left_eye", "right_eye", "L hip", "R hip"])
        (0, 2, 1, 4, 3)
    """
    others = [_SIDE.sub(_other_side, name) for name in names]
    for name, other in zip(names, others, strict=True):
        if other not in names:
            raise InvalidArgument("mirrored_keypoints", "names", f"have {other} beside {name}", names)
    return tuple(list(names).index(other) for other in others)


def _other_side(match: re.Match[str]) -> str:
    side, other = match[0], _OTHER[match[0].lower()]
    return other.upper() if side.isupper() else other.capitalize() if side[0].isupper() else other


def parse_keypoints(values: Any, n: int) -> Array | None:
    """Read the n keypoints of an object as COCO's JSON has them: x, y and visibility of each, one behind the other.

    Returns:
        array or None: float32, (n, 3): y, x and visibility, zeros for no value at all; None if it is something else.
    """
    if not values:
        return np.zeros((n, 3), dtype=np.float32)
    if not are_numbers(values, 3 * n) or not all(abs(value) < MAX_NUMBER for value in values):
        return None
    return np.array(values, dtype=np.float32).reshape(n, 3)[:, [1, 0, 2]]
