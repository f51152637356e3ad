"""A data set from its path or name."""

import pathlib
import re
from collections.abc import Sequence
from typing import Any

from chainfpn._typing import PathLike
from chainfpn.datasets._files import DataError, Names
from chainfpn.datasets.coco import COCODataset
from chainfpn.datasets.detection_dataset import DetectionDataset
from chainfpn.datasets.penn_fudan import PennFudanDataset
from chainfpn.datasets.shapes import ShapesDataset
from chainfpn.datasets.voc import VOCDataset

#: What ``shapes`` alone means.
N_SHAPES = 200
_SHAPES = re.compile(r"shapes(?::(\d+)(?::(\d+))?)?")


def open_dataset(
    data: PathLike,
    *,
    annotations: PathLike | None = None,
    split: str | None = None,
    label_names: Sequence[str] | None = None,
    names: Names = None,
    without: Names = None,
    use_ignored: bool = False,
) -> DetectionDataset:
    """Open data of any of the forms there is a reader for, by what lies at its path.

    ====================================================  ======================================================
    data                                                  is
    ====================================================  ======================================================
    a folder, with ``annotations``                        COCO's JSON for the images of the folder
    a folder with annotations/instances_SPLIT.json        COCO; the images are in SPLIT or images/SPLIT
    a folder with PNGImages and Annotation                Penn-Fudan
    a folder with JPEGImages and Annotations              VOC; the split is a list of ImageSets/Main, or all
    ``'shapes'``, ``'shapes:N'``, ``'shapes:N:SEED'``     N synthetic images
    ====================================================  ======================================================

    Args:
        data (str or os.PathLike): A path, or a word for synthetic data.
        annotations (str, os.PathLike or None): COCO's JSON.
        split (str or None): Which part of a COCO or VOC tree.
        label_names (sequence of str or None): Only these labels, in this order, of COCO and VOC.
        names (sequence of str, str, os.PathLike or None): Only these images: their names, or a file with a list.
        without (sequence of str, str, os.PathLike or None): All images but these.
        use_ignored (bool): Keep crowds (COCO) and difficult annotations (VOC), for evaluators that ignore them.

    Returns:
        DetectionDataset: The data.

    Raises:
        DataError: if there is nothing of the kind, or an option does not go with it.
    """
    path = pathlib.Path(data)
    chosen: dict[str, Any] = {"names": names, "without": without}
    labelled: dict[str, Any] = {"label_names": label_names, **chosen}
    if annotations is not None:
        _reject(path, "COCO annotations", split=split)
        return COCODataset(annotations, path, use_crowded=use_ignored, **labelled)
    match = _SHAPES.fullmatch(str(data))
    if match and not path.exists():
        _reject(data, "synthetic data", split=split, **labelled)
        return ShapesDataset(int(match[1] or N_SHAPES), seed=int(match[2] or 0))
    if not path.exists():
        raise DataError(f"{path}: there is no such folder")
    if (path / "PNGImages").is_dir() and (path / "Annotation").is_dir():
        if label_names is not None and tuple(label_names) != ("person",):
            _reject(path, "Penn-Fudan data", label_names=label_names)
        _reject(path, "Penn-Fudan data", split=split)
        return PennFudanDataset(path, **chosen)
    if (path / "JPEGImages").is_dir() and (path / "Annotations").is_dir():
        return VOCDataset(path, split, use_difficult=use_ignored, **labelled)
    instances = sorted((path / "annotations").glob("instances_*.json"))
    if instances:
        return COCODataset(
            *_coco_split(path, instances, split), label_names=label_names, use_crowded=use_ignored, **chosen
        )
    raise DataError(
        f"{path}: must be a folder with PNGImages and Annotation (Penn-Fudan), JPEGImages and Annotations (VOC) or "
        "annotations/instances_*.json (COCO), or a folder of images with a COCO JSON named beside it"
    )


def _reject(data: PathLike, kind: str, **options: Any) -> None:
    """Raise if an option was given that the kind of data has no use for."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise DataError(f"{data}: {kind} cannot be chosen from by {given[0]}")


def _coco_split(path: pathlib.Path, instances: list[pathlib.Path], split: str | None) -> tuple[PathLike, PathLike]:
    """Return the annotations and the folder of images of a split of a COCO tree."""
    splits = {file.stem.removeprefix("instances_"): file for file in instances}
    if split is None and len(splits) == 1:
        (split,) = splits
    if split not in splits:
        raise DataError(f"{path}: split must be one of {', '.join(splits)}, got {split}")
    for images in (path / split, path / "images" / split):
        if images.is_dir():
            return splits[split], images
    raise DataError(f"{path}: has neither a folder {split} nor images/{split}")
