"""Which of the usual forms a folder of data has."""

import os
import pathlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from chainfpn.datasets._coco_json import read_instances
from chainfpn.datasets._files import IMAGE_SUFFIXES, DataError, choose_split, find_image, read_head
from chainfpn.datasets._yolo_yaml import yaml_splits
from chainfpn.datasets.coco import COCODataset
from chainfpn.datasets.csv_boxes import CSVDataset, is_box_table
from chainfpn.datasets.cvat import CVATDataset
from chainfpn.datasets.detection_dataset import DetectionDataset
from chainfpn.datasets.label_studio import LabelStudioDataset, read_tasks
from chainfpn.datasets.labelme import LabelMeDataset, is_labelme
from chainfpn.datasets.voc import VOCDataset
from chainfpn.datasets.yolo import YOLODataset, has_names
from weights_convert import few

#: Split to what opens it, with the options that are left.
_Splits = Mapping[str, Callable[..., DetectionDataset]]
#: Images of a JSON that are looked for to find their folder.
_N_TRIED = 10
#: Bytes by which a JSON is known to be a list, and what may be ahead of it.
_N_FIRST, _BLANKS = 64, b"\xef\xbb\xbf\xff\xfe \t\r\n\0"
_ROBOFLOW = "_annotations.coco.json"
#: What folders of images and of XML are called; any other name will do where there is one only.
_IMAGES, _XML = ("images", "JPEGImages"), ("annotations", "Annotations", "labels")


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
        inside = [folder for folder in _folders(path) if _is_data(folder)]
        raise DataError(
            f"{path}: must be a folder with PNGImages and Annotation (Penn-Fudan), JPEGImages and Annotations (VOC), "
            "annotations/instances_*.json (COCO), a YOLO yaml or classes.txt, a CSV file, CVAT's annotations.xml, "
            "Label Studio's JSON, LabelMe's JSON or XML beside images, or a folder of images with a COCO JSON named "
            "beside it" + (f"; {inside[0]} is data" if inside else "")
        )
    return splits[choose_split(path, split, tuple(splits))](**options)


def find_splits(path: pathlib.Path, use_ignored: bool) -> _Splits:
    """Return what opens each part of a file or folder, by the part's name; empty if it has none of the forms."""
    for find in (_coco, _roboflow, _yolo, _csv, _cvat, _labelme, _json, _xml):
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
    return {name: partial(_open_coco, path, file, name, use_crowded=use_ignored) for name, file in splits.items()}


def _open_coco(path: pathlib.Path, file: pathlib.Path, name: str, **options: Any) -> DetectionDataset:
    folders = [folder for folder in (path / name, path / "images" / name, path / "images") if folder.is_dir()]
    if not folders:
        raise DataError(f"{path}: has neither a folder {name} nor images/{name} nor images")
    return COCODataset(file, folders[0], **options)


def _roboflow(path: pathlib.Path, use_ignored: bool) -> _Splits:
    return {
        file.parent.name: partial(COCODataset, file, file.parent, use_crowded=use_ignored)
        for file in sorted((*path.glob(_ROBOFLOW), *path.glob(f"*/{_ROBOFLOW}")))
    }


def _yolo(path: pathlib.Path, use_ignored: bool) -> _Splits:
    if path.suffix in (".yaml", ".yml"):
        return {name: partial(YOLODataset, path, name) for name in yaml_splits(path)} or {
            "all": partial(YOLODataset, path)
        }
    files = sorted((*path.glob("*.yaml"), *path.glob("*.yml")))
    found = [(name, file) for file in files for name in yaml_splits(file)]
    names = [name for name, _ in found]
    if len(set(names)) < len(names):
        yamls = ", ".join(dict.fromkeys(file.name for _, file in found))
        raise DataError(f"{path}: must have one YOLO yaml, or be one itself, got {yamls}")
    if found:
        return {name: partial(YOLODataset, file, name) for name, file in found}
    if has_names(path):
        return {"all": partial(YOLODataset, path)}
    return {folder.name: partial(YOLODataset, folder) for folder in _folders(path) if has_names(folder)}


def _csv(path: pathlib.Path, use_ignored: bool) -> _Splits:
    files = [path] if path.suffix == ".csv" else sorted((*path.glob("*.csv"), *path.glob("*/_annotations.csv")))
    tables = [file for file in files if file == path or is_box_table(file)]
    return {file.parent.name if file.parent != path else file.stem: partial(CSVDataset, file) for file in tables}


def _cvat(path: pathlib.Path, use_ignored: bool) -> _Splits:
    file = path if path.suffix == ".xml" else path / "annotations.xml"
    return {"all": partial(CVATDataset, file)} if file.is_file() else {}


def _labelme(path: pathlib.Path, use_ignored: bool) -> _Splits:
    """Find JSON of LabelMe here, or in a folder of each split."""
    if is_labelme(path):
        return {"all": partial(LabelMeDataset, path)}
    return {folder.name: partial(LabelMeDataset, folder) for folder in _folders(path) if is_labelme(folder)}


def _json(path: pathlib.Path, use_ignored: bool) -> _Splits:
    """Find a COCO JSON of any name, its images beside it or in a folder beside it."""
    files = [path] if path.suffix == ".json" else sorted((*path.glob("*.json"), *path.glob("annotations/*.json")))
    if len(files) != 1:
        return {file.stem: partial(_open_json, file, use_ignored) for file in files if _is_known_json(file)}
    return {"all": partial(_open_json, files[0], use_ignored)}


def _is_known_json(file: pathlib.Path) -> bool:
    try:
        (read_tasks if _has_list(file) else read_instances)(file)
    except DataError:
        return False
    return True


def _has_list(file: pathlib.Path) -> bool:
    """Return whether the value of a JSON file is a list, as Label Studio's is: bool."""
    return read_head(file, _N_FIRST).lstrip(_BLANKS).startswith(b"[")


def _open_json(file: pathlib.Path, use_ignored: bool, **options: Any) -> DetectionDataset:
    if _has_list(file):
        return LabelStudioDataset(file, **options)
    found, parent = read_instances(file), file.parent
    tops = [parent, parent.parent] if parent.name == "annotations" else [parent]
    folders = [top / part for top in tops for part in ("", "images", file.stem, "train")]
    folders += [folder for top in tops for folder in _folders(top)]
    names = [info.file_name for info in found.images[:_N_TRIED]]
    with_images = (folder for folder in folders if any(os.path.isfile(find_image([folder], name)) for name in names))
    images = next(with_images, None)
    if images is None and names:
        shown = f"{few(names, most=2)}; name their folder, and this file as its annotations"
        raise DataError(f"{file}: has images that are neither beside it nor in a folder there: {shown}")
    return COCODataset(found, images or parent, use_crowded=use_ignored, **options)


def _xml(path: pathlib.Path, use_ignored: bool) -> _Splits:
    """Find XML beside images, or in a folder beside theirs, here or in a folder of each split."""
    for folders in ((path,), _folders(path)):
        found = {folder: _images_and_xml(folder) for folder in folders if not is_voc(folder)}
        splits = {
            "all" if folder == path else folder.name: partial(
                VOCDataset, folder, images=pair[0], annotations=pair[1], use_difficult=use_ignored
            )
            for folder, pair in found.items()
            if pair is not None
        }
        if splits:
            return splits
    return {}


def _images_and_xml(folder: pathlib.Path) -> tuple[str, str] | None:
    """Return where a folder has its images and its XML, from there; None if it has no such pair."""
    if _has(folder, *IMAGE_SUFFIXES) and _has(folder, ".xml"):
        return ".", "."
    parts = _folders(folder)
    images = _one_of([part.name for part in parts if _has(part, *IMAGE_SUFFIXES)], _IMAGES)
    places = [place for part in parts for place in (part, part / "xmls") if _has(place, ".xml")]
    xml = _one_of([place.relative_to(folder).as_posix() for place in places], _XML)
    return None if images is None or xml is None or images == xml else (images, xml)


def _one_of(found: list[str], usual: tuple[str, ...]) -> str | None:
    """Return the usual name among those that were found, or else the only one."""
    return next((name for name in usual if name in found), found[0] if len(found) == 1 else None)


def is_voc(path: pathlib.Path) -> bool:
    """Return whether a folder is a tree of VOC: bool."""
    return (path / "JPEGImages").is_dir() and (path / "Annotations").is_dir()


def is_penn_fudan(path: pathlib.Path) -> bool:
    """Return whether a folder has the pedestrians of Penn-Fudan: bool."""
    return (path / "PNGImages").is_dir() and (path / "Annotation").is_dir()


def _is_data(folder: pathlib.Path) -> bool:
    """Return whether there is a form for a folder."""
    try:
        return is_voc(folder) or is_penn_fudan(folder) or bool(find_splits(folder, use_ignored=False))
    except DataError:
        return False


def _folders(path: pathlib.Path) -> list[pathlib.Path]:
    return sorted(part for part in path.iterdir() if part.is_dir()) if path.is_dir() else []


def _has(folder: pathlib.Path, *suffixes: str) -> bool:
    return folder.is_dir() and any(file.suffix.lower() in suffixes for file in folder.iterdir())
