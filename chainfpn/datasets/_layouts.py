"""Which of the usual forms a folder of data has."""

import pathlib
from collections.abc import Callable
from typing import Any

from chainfpn.datasets._coco_json import read_instances
from chainfpn.datasets._files import IMAGE_SUFFIXES, DataError
from chainfpn.datasets.coco import COCODataset
from chainfpn.datasets.csv_boxes import CSVDataset, is_box_table
from chainfpn.datasets.detection_dataset import DetectionDataset
from chainfpn.datasets.voc import VOCDataset
from chainfpn.datasets.yolo import YOLODataset, yaml_splits

#: Split to what opens it, with the options that are left.
_Splits = dict[str, Callable[..., DetectionDataset]]
_ROBOFLOW = "_annotations.coco.json"
_PLAIN_NAMES = ("classes.txt", "obj.names")


def open_layout(path: pathlib.Path, *, use_ignored: bool, split: str | None = None, **options: Any) -> DetectionDataset:
    """Open a file or folder in one of the forms below.

    Args:
        path (pathlib.Path): What is there.
        use_ignored (bool): Keep crowds and difficult annotations.
        split (str or None): Which part; not needed where there is one only.
        **options: ``label_names``, ``names`` and ``without``, those that were given.

    Returns:
        DetectionDataset: The data.

    Raises:
        DataError: if it is none of these, or has no such split.
    """
    splits = find_splits(path, use_ignored)
    if not splits:
        raise DataError(
            f"{path}: must be a folder with PNGImages and Annotation (Penn-Fudan), JPEGImages and Annotations (VOC), "
            "annotations/instances_*.json (COCO), a YOLO yaml or classes.txt, a CSV file, or XML beside images, or a "
            "folder of images with a COCO JSON named beside it"
        )
    if split is None and len(splits) == 1:
        (split,) = splits
    if split not in splits:
        raise DataError(f"{path}: split must be one of {', '.join(splits)}, got {split}")
    return splits[split](**options)


def find_splits(path: pathlib.Path, use_ignored: bool) -> _Splits:
    """Return the parts of a file or folder by name, empty if it has none of the forms.

    Args:
        path (pathlib.Path): What is there.
        use_ignored (bool): Keep crowds and difficult annotations.

    Returns:
        dict: Name to what opens the part.
    """
    for find in (_coco, _roboflow, _yolo, _csv, _json, _xml):
        splits = find(path, use_ignored)
        if splits:
            return splits
    return {}


def _coco(path: pathlib.Path, use_ignored: bool) -> _Splits:
    """Find annotations/instances_SPLIT.json, or image_info_SPLIT.json, which has no annotations, or else keypoints."""
    for prefixes in (("image_info_", "instances_"), ("person_keypoints_",)):
        splits = {
            file.stem.removeprefix(prefix): file
            for prefix in prefixes
            for file in sorted(path.glob(f"annotations/{prefix}*.json"))
        }
        if splits:
            break
    return {name: _opener(path, file, name, use_ignored) for name, file in splits.items()}


def _opener(path: pathlib.Path, file: pathlib.Path, name: str, use_ignored: bool) -> Callable[..., DetectionDataset]:
    def open_it(**options: Any) -> DetectionDataset:
        folders = [folder for folder in (path / name, path / "images" / name, path / "images") if folder.is_dir()]
        if not folders:
            raise DataError(f"{path}: has neither a folder {name} nor images/{name} nor images")
        return COCODataset(file, folders[0], use_crowded=use_ignored, **options)

    return open_it


def _roboflow(path: pathlib.Path, use_ignored: bool) -> _Splits:
    return {
        file.parent.name: _bind(COCODataset, file, file.parent, use_crowded=use_ignored)
        for file in sorted((*path.glob(_ROBOFLOW), *path.glob(f"*/{_ROBOFLOW}")))
    }


def _yolo(path: pathlib.Path, use_ignored: bool) -> _Splits:
    if any((path / part / name).exists() for part in ("", "labels") for name in _PLAIN_NAMES):
        return {"all": _bind(YOLODataset, path)}
    files = [path] if path.suffix in (".yaml", ".yml") else sorted((*path.glob("*.yaml"), *path.glob("*.yml")))
    return {name: _bind(YOLODataset, file, name) for file in files for name in yaml_splits(file)}


def _csv(path: pathlib.Path, use_ignored: bool) -> _Splits:
    files = [path] if path.suffix == ".csv" else sorted((*path.glob("*.csv"), *path.glob("*/_annotations.csv")))
    tables = [file for file in files if is_box_table(file)]
    return {file.parent.name if file.parent != path else file.stem: _bind(CSVDataset, file) for file in tables}


def _json(path: pathlib.Path, use_ignored: bool) -> _Splits:
    """Find a COCO JSON of any name, its images beside it or in a folder beside it."""
    files = [path] if path.suffix == ".json" else sorted((*path.glob("*.json"), *path.glob("annotations/*.json")))
    if len(files) != 1:
        return {file.stem: _bind(_open_json, file, use_ignored) for file in files if _is_coco(file)}
    return {"all": _bind(_open_json, files[0], use_ignored)}


def _is_coco(file: pathlib.Path) -> bool:
    try:
        read_instances(file)
    except DataError:
        return False
    return True


def _open_json(file: pathlib.Path, use_ignored: bool, **options: Any) -> DetectionDataset:
    infos, parent = read_instances(file).images, file.parent
    tops = [parent, parent.parent] if parent.name == "annotations" else [parent]
    folders = [top / part for top in tops for part in ("", "images", file.stem, "train")]
    names = [infos[0].file_name.replace("\\", "/")] if infos else []
    for folder in folders:
        if any((folder / part).is_file() for name in names for part in (name, pathlib.PurePosixPath(name).name)):
            return COCODataset(file, folder, use_crowded=use_ignored, **options)
    return COCODataset(file, folders[0], use_crowded=use_ignored, **options)


def _xml(path: pathlib.Path, use_ignored: bool) -> _Splits:
    """Find XML beside images, or in a folder beside theirs."""
    for images, annotations in ((".", "."), ("images", "annotations"), ("images", "Annotations"), ("images", "labels")):
        if any((path / annotations).glob("*.xml")) and _has_images(path / images):
            return {"all": _bind(VOCDataset, path, images=images, annotations=annotations, use_difficult=use_ignored)}
    return {}


def _has_images(folder: pathlib.Path) -> bool:
    return folder.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in folder.iterdir())


def _bind(function: Callable[..., DetectionDataset], *arguments: Any, **fixed: Any) -> Callable[..., DetectionDataset]:
    return lambda **options: function(*arguments, **fixed, **options)
