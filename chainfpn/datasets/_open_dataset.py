"""A data set from its path or name."""

import os
import pathlib
import re

from chainfpn._typing import Labels, PathLike
from chainfpn.datasets._files import DataError, Names
from chainfpn.datasets._layouts import find_splits, is_penn_fudan, is_voc, open_layout
from chainfpn.datasets.coco import COCODataset
from chainfpn.datasets.detection_dataset import DetectionDataset
from chainfpn.datasets.penn_fudan import PennFudanDataset
from chainfpn.datasets.shapes import ShapesDataset
from chainfpn.datasets.voc import VOCDataset

#: What ``shapes`` alone means, and how many there may be.
N_SHAPES, _MAX_SHAPES = 200, 1_000_000
_SHAPES = re.compile(r"shapes(?::(\d{1,20})(?::(\d{1,20}))?)?")


def open_dataset(
    data: PathLike,
    *,
    annotations: PathLike | None = None,
    split: str | None = None,
    label_names: Labels | None = None,
    names: Names = None,
    without: Names = None,
    use_ignored: bool = False,
) -> DetectionDataset:
    """Open data of any of the forms there is a reader for, by what lies at its path.

    ====================================================  ======================================================
    data                                                  is
    ====================================================  ======================================================
    a folder, with ``annotations``                        COCO's JSON for the images of the folder
    a folder with PNGImages and Annotation                Penn-Fudan
    a folder with JPEGImages and Annotations              VOC; the split is a list of ImageSets/Main, or all
    a folder with annotations/instances_SPLIT.json        COCO; the images are in SPLIT, images/SPLIT or images
    a folder with SPLIT/_annotations.coco.json            COCO, as Roboflow exports it
    a JSON file, or a folder with one                     COCO; the images are beside it, in images or train
    a yaml, or a folder with one                          YOLO; the split is train, val or test
    a folder with images and classes.txt                  YOLO, the texts in labels or beside the images
    a CSV file, or a folder with one                      a box a line
    a folder with annotations.xml                         CVAT's XML
    a JSON list of tasks, or a folder with one            Label Studio's JSON
    a folder of JSON, or folders of splits                LabelMe's, a file an image
    a folder with images and XML beside them              VOC's XML, as labelImg writes it
    a folder with a folder of images and one of XML       the same
    a folder with such folders                            the same; the split is one of them
    ``'shapes'``, ``'shapes:N'``, ``'shapes:N:SEED'``     N synthetic images
    ====================================================  ======================================================

    Args:
        data (str or os.PathLike): A path, or a word for synthetic data.
        annotations (str, os.PathLike or None): COCO's JSON.
        split (str or None): Which part, where there are several.
        label_names (sequence of str or None): Only these labels, in this order; not of Penn-Fudan and synthetic data.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.
        use_ignored (bool): Keep crowds (COCO) and difficult annotations (VOC), for evaluators that ignore them.

    Returns:
        DetectionDataset: The data.

    Raises:
        DataError: if there is nothing of the kind, or an option does not go with it.
    """
    path = pathlib.Path(data)
    given = {"split": split, "label_names": label_names, "names": names, "without": without}
    options: dict = {name: value for name, value in given.items() if value is not None}
    match = _SHAPES.fullmatch(str(data))
    if annotations is not None:
        _reject(path, "COCO annotations", options, "split")
        return COCODataset(annotations, path, use_crowded=use_ignored, **options)
    if match and not os.path.exists(path):
        _reject(path, "synthetic data", options, *given)
        n, seed = int(match[1] or N_SHAPES), int(match[2] or 0)
        if not 1 <= n <= _MAX_SHAPES or seed >= 2**32:
            raise DataError(f"{path}: must be of 1 to {_MAX_SHAPES} images, by a seed below 2**32")
        return ShapesDataset(n, seed=seed)
    if not os.path.exists(path):
        raise DataError(f"{path}: there is no such folder")
    if is_penn_fudan(path):
        if tuple(options.get("label_names", ())) == ("person",):
            del options["label_names"]
        _reject(path, "Penn-Fudan data", options, "label_names", "split")
        return PennFudanDataset(path, **options)
    if is_voc(path):
        return VOCDataset(path, use_difficult=use_ignored, **options)
    return open_layout(path, use_ignored=use_ignored, **options)


def dataset_splits(data: PathLike) -> tuple[str, ...]:
    """Find the splits of data that have no whole: one of several must be chosen.

    Args:
        data (str or os.PathLike): As :func:`open_dataset` takes it.

    Returns:
        tuple of str: Their names; empty where there is nothing to choose.
    """
    path = pathlib.Path(data)
    if not os.path.exists(path) or is_penn_fudan(path) or is_voc(path):
        return ()
    names = tuple(find_splits(path, use_ignored=False))
    return names if len(names) > 1 else ()


def _reject(path: pathlib.Path, kind: str, options: dict, *names: str) -> None:
    """Raise if an option was given that the kind of data has no use for."""
    for name in names:
        if name in options:
            raise DataError(f"{path}: {kind} cannot be chosen from by {name}")
