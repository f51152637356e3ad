"""What an evaluation found, as COCO's results."""

import pathlib
from typing import Any

from chainfpn.datasets import DetectionDataset
from chainfpn.training import Evaluation


def coco_results(evaluation: Evaluation, data: DetectionDataset) -> list[dict[str, Any]]:
    """Return the detections as pycocotools and COCO's server take them.

    Args:
        evaluation (Evaluation): The detections in images of the data.
        data (DetectionDataset): COCO's ids are those of its file; of other data an image is called by the number, or
            the name, of its file, and a category by its label, counted from 1.

    Returns:
        list of dict: JSON values.
    """
    ids = getattr(data, "category_ids", range(1, len(data.label_names) + 1))
    category_ids = [ids[data.label_names.index(name)] for name in evaluation.label_names]
    results = []
    for i, found in evaluation.detections():
        extras = (found.get(key, [None] * len(found["bbox"])) for key in ("mask", "point"))
        columns = (found[key] for key in ("bbox", "label", "score"))
        for bb, label, score, mask, point in zip(*columns, *extras, strict=True):
            y_min, x_min, y_max, x_max = map(float, bb)
            result = {"image_id": _image_id(data, i), "category_id": category_ids[label]}
            result |= {"bbox": [x_min, y_min, x_max - x_min, y_max - y_min], "score": float(score)}
            if mask is not None:
                result["segmentation"] = {**mask, "counts": mask["counts"].decode("ascii")}
            if point is not None:
                result["keypoints"] = [value for y, x in point.tolist() for value in (x, y, 1)]
            results.append(result)
    return results


def _image_id(data: DetectionDataset, i: int) -> Any:
    if hasattr(data, "image_ids"):
        return data.image_ids[i]
    path = pathlib.PurePath(data.file_name(i))
    return int(path.stem) if path.stem.isdecimal() else path.name
