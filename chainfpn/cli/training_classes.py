"""What there is to train with, by class: counted and checked before a training, a table, a part of its page."""

import argparse
import hashlib
import pathlib
from collections import Counter
from typing import Any

import numpy as np

from chainfpn._typing import Report
from chainfpn.cli.console import reasons, table_lines
from chainfpn.cli.errors import CommandError
from chainfpn.datasets import DataError, DetectionDataset
from chainfpn.datasets._left_out import LeftOut

#: Heads of the table: those of the data to train with, and of the data to validate with.
_HEADS = {"training": ("objects", "images"), "validation": ("validation objects", "validation images")}
#: How lines about both end.
_ENDS = {"training": "", "validation": " to validate with"}
_WITHOUT = "(no object)"
#: Of a class that one of both has not.
_UNKNOWN = {"objects": "-", "images": "-"}


def count_classes(data: DetectionDataset, left_out: LeftOut, warn: Report) -> dict[str, Any]:
    """Count the objects of each class and the images that have some.

    Args:
        data (DetectionDataset): The data.
        left_out (LeftOut): What the readers left out.
        warn (callable): Takes a sentence about everything that is wrong with the data.

    Returns:
        dict: JSON values: ``images`` and ``left_out``, by reason, and ``classes``, with ``objects`` and ``images``
        of each, the last of which is the number of images without an object; where keypoints are among the keys of
        the data ``keypoints``, with how many are visible of each name; and ``sha256`` of names, sizes, boxes, labels
        and keypoints, by which data are known again that lie elsewhere.

    Raises:
        CommandError: if the boxes are shares of the images.
    """
    counts = {name: {"objects": 0, "images": 0} for name in (*data.label_names, _WITHOUT)}
    # what has no mask is left out where there are some
    keys = [key for key in ("label", "bbox", "mask", "point", "visible") if key in data.keys]
    visible = np.zeros(len(data.keypoint_names), dtype=int)
    found, n_images, before = LeftOut([left_out]), 0, set(data.left_out.omissions)
    farthest = -np.inf  # what a box reaches to
    content = hashlib.sha256("\n".join(data.label_names).encode())
    for i in range(len(data)):
        content.update(pathlib.PurePath(data.file_name(i)).name.encode())
        try:
            size = data.size(i)  # which is that of the annotation
            labels, bbox, *extras = data.read(i, keys)
        except DataError as error:
            found.add(error.omission)
            continue
        points = [values.tolist() for values in extras[-2:]] if "point" in keys else []
        content.update(repr((size, labels.tolist(), bbox.tolist(), *points)).encode())
        visible += extras[-1].sum(axis=0) if points else 0
        n_images += 1
        farthest = max(farthest, bbox.max(initial=-np.inf))
        names = Counter(data.label_names[label] for label in labels) or {_WITHOUT: 0}
        for name, n_objects in names.items():
            counts[name]["objects"] += n_objects
            counts[name]["images"] += 1
    if -np.inf < farthest <= 1:
        raise CommandError("--data: boxes must be in pixels, but none reaches beyond 1; shares of the image are YOLO's")
    for omission in data.left_out.omissions:
        if omission not in before:
            found.add(omission)
    for omission in found.omissions:
        warn(omission)
    left_out_counts = dict(found.counts)
    result = {"images": n_images, "left_out": left_out_counts, "classes": counts, "sha256": content.hexdigest()}
    if "point" in keys:
        result["keypoints"] = dict(zip(data.keypoint_names, visible.tolist(), strict=True))
    return result


def check_classes(counts: dict[str, Any], settings: argparse.Namespace) -> None:
    """Check that there is something to learn, of every class that was asked for.

    Args:
        counts (dict): Of the data to train with, by :func:`count_classes`.
        settings (argparse.Namespace): The options of ``chainfpn train``.

    Raises:
        CommandError: if there is nothing.
    """
    used = [name for name, count in counts["classes"].items() if count["objects"]]
    if not used:
        why = reasons({"left out": counts["left_out"]})
        raise CommandError("--data: has no object to learn from" + (f"; {why}" if why else ""))
    if "keypoints" in counts and not any(counts["keypoints"].values()):
        raise CommandError("--data: has no visible keypoint to learn from")
    unused = [name for name in settings.names or () if name not in used]
    if unused:
        raise CommandError(f"--names: must be of objects in the data, {', '.join(used)}, got {unused[0]}")


def check_same(counts: dict[str, Any], saved: dict[str, Any]) -> None:
    """Check that a training that is resumed has the data that it began with, wherever they lie now.

    Args:
        counts (dict): ``training`` and ``validation`` to what :func:`count_classes` returned, or None.
        saved (dict): The same, of the start.

    Raises:
        CommandError: if there are other images, boxes or labels.
    """
    for side, options in (("training", "--data"), ("validation", "--validation or --held-out")):
        found, former = counts[side] or {}, saved[side] or {}
        if former.get("sha256") != found.get("sha256"):
            sizes = " and ".join(str(count.get("images", 0)) for count in (former, found))
            raise CommandError(
                f"--resume: {options} must have the content that the training began with (names, sizes, boxes and"
                f" labels); images then and now: {sizes}"
            )


def class_rows(counts: dict[str, dict[str, Any] | None]) -> list[tuple[str, ...]]:
    """Return a table of the classes of a training.

    Args:
        counts (dict): ``training`` and ``validation`` to what :func:`count_classes` returned, or None.

    Returns:
        list of tuple: The heads, and a row per class, of text.
    """
    sides = {side: found["classes"] for side, found in counts.items() if found is not None}
    rows = [("class", *(head for side in sides for head in _HEADS[side]))]
    names = dict.fromkeys(name for classes in sides.values() for name in classes if name != _WITHOUT)
    for name in (*names, _WITHOUT):
        found = (classes.get(name, _UNKNOWN) for classes in sides.values())
        rows.append((name, *(str(count[key]) for count in found for key in ("objects", "images"))))
    return rows


def class_table(counts: dict[str, dict[str, Any] | None]) -> str:
    """Return what there is to train with as text: a line per class, and what is left out; see :func:`class_rows`."""
    return "\n".join(filter(None, [*table_lines(class_rows(counts)), lines_below(counts)]))


def lines_below(counts: dict[str, dict[str, Any] | None]) -> str:
    """Return how many of each keypoint are visible, and what is left out, by reason: a line for each that there is."""
    sides = [(found, _ENDS[side]) for side, found in counts.items() if found is not None]
    keypoints = {f"visible keypoints{end}": found.get("keypoints", {}) for found, end in sides}
    return reasons(keypoints | {f"left out{end}": found["left_out"] for found, end in sides})
