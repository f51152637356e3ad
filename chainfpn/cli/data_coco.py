"""A data set as COCO's instances."""

import importlib.util
import pathlib
from typing import Any

from chainfpn.cli.data_statistics import Found
from chainfpn.datasets import DataError, DetectionDataset
from chainfpn.training.coco_evaluation import run_lengths


def to_coco(data: DetectionDataset, found: list[Found], out: pathlib.Path) -> dict[str, Any]:
    """Return all that was found as COCO's instances, the images by their paths from the folder.

    Args:
        data (DetectionDataset): The data.
        found (list of Found): Their images that can be read.
        out (pathlib.Path): The folder.

    Returns:
        dict: JSON values. Masks are run lengths, for which pycocotools is needed, of images whose objects all have one.
    """
    images: list[dict] = []
    annotations: list[dict] = []
    for i, one in enumerate(found, start=1):
        file, base = pathlib.Path(one.file).resolve(), out.resolve()
        name = (file.relative_to(base) if file.is_relative_to(base) else file).as_posix()
        images.append({"id": i, "file_name": name, "height": one.size[0], "width": one.size[1]})
        masks = _masks(data, one)
        for k, ((y0, x0, y1, x1), label) in enumerate(zip(one.bbox.tolist(), one.label.tolist(), strict=True)):
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            ids = {"id": len(annotations) + 1, "image_id": i, "category_id": label + 1}
            annotations.append({**ids, **box, **(masks[k] if masks else {}), **_keypoints(one, k)})
    points = {"keypoints": data.keypoint_names} if data.keypoint_names else {}
    categories = [{"id": k, "name": name, **points} for k, name in enumerate(data.label_names, start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}


def _masks(data: DetectionDataset, one: Found) -> list[dict[str, Any]]:
    """Return masks and their areas as COCO has them, none if an object has none or was dropped."""
    if "mask" not in data.available_keys or importlib.util.find_spec("pycocotools") is None:
        return []
    from pycocotools import mask as coco_mask

    try:
        (bbox,), (mask,) = data.read(one.example, ["bbox"]), data.read(one.example, ["mask"])
    except DataError:
        return []
    if not len(bbox) == len(mask) == len(one.bbox):
        return []
    return [
        {"segmentation": {**run, "counts": run["counts"].decode("ascii")}, "area": int(coco_mask.area(run))}
        for run in run_lengths(mask)
    ]


def _keypoints(one: Found, k: int) -> dict[str, Any]:
    """Return the keypoints of object k as COCO has them."""
    if one.point is None or one.visible is None:
        return {}
    points = zip(one.point[k].tolist(), one.visible[k], strict=True)
    values = [(x, y, 2) if seen else (0, 0, 0) for (y, x), seen in points]
    return {"keypoints": [value for point in values for value in point], "num_keypoints": int(one.visible[k].sum())}
