"""Sizes of images and boxes of a data set."""

import contextlib
from typing import NamedTuple

import numpy as np

from chainfpn._typing import Array, Size
from chainfpn.cli.console import progress, table_lines
from chainfpn.datasets import DataError, ValidatedDataset

#: COCO's areas in square pixels: what is below is small or medium, and what is not is large.
_AREAS = {"small": 32**2, "medium": 96**2, "large": np.inf}


class Found(NamedTuple):
    """An image that can be read.

    Index of its example, file, size, boxes (yxyx), labels, and perhaps keypoints: places (R, K, 2), yx, and which are
    visible (R, K).
    """

    example: int
    file: str
    size: Size
    bbox: Array
    label: Array
    point: Array | None = None
    visible: Array | None = None


def read_all(data: ValidatedDataset, *, quiet: bool) -> list[Found]:
    """Read every image.

    Args:
        data (ValidatedDataset): The data, whose ``report`` hears of what is broken.
        quiet (bool): Show no progress.

    Returns:
        list of Found: Those that can be read.
    """
    found = []
    with progress(range(len(data)), "image", quiet=quiet) as indices, contextlib.suppress(DataError):
        for i in indices:  # a DataError says that there is no sound image at all
            if data.sound_index(i) == i:
                img, *values = data[i]
                if data.sound_index(i) == i:  # it was not found broken just now
                    found.append(Found(i, data.file_name(i), img.shape[1:], *values))
    return found


def statistics_lines(found: list[Found]) -> list[str]:
    """Return statistics as lines: smallest, middle and largest.

    Args:
        found (list of Found): The images.

    Returns:
        list of str: Lines.
    """
    if not found:
        return []
    boxes = np.concatenate([one.bbox for one in found])  # (R, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    columns = {
        "image height": [one.size[0] for one in found],
        "image width": [one.size[1] for one in found],
        "box height": sides[:, 0],
        "box width": sides[:, 1],
        "objects per image": [len(one.bbox) for one in found],
    }
    rows = [["", "min", "median", "max"]]
    for name, values in columns.items():
        if len(values):
            rows.append([name, *(f"{round(float(f(values)), 1):7g}" for f in (np.min, np.median, np.max))])
    areas = np.digitize(sides.prod(axis=1), list(_AREAS.values())[:-1])
    shares = (f"{np.count_nonzero(areas == k)} {name}" for k, name in enumerate(_AREAS))
    return [*table_lines(rows), f"boxes: {', '.join(shares)} (COCO's areas)"]
