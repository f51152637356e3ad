"""What an evaluation found, as COCO's results."""

import pathlib
from typing import Any

from chainfpn.cli.results_writer import coco_result
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
        columns = (found.get(key, [None] * len(found["bbox"])) for key in ("bbox", "label", "score", "mask", "point"))
        for bb, label, score, mask, point in zip(*columns, strict=True):
            runs = None if mask is None else {**mask, "counts": mask["counts"].decode("ascii")}
            places = None if point is None else point.tolist()
            result = coco_result(category_ids[label], bb.tolist(), float(score), runs, places)
            results.append({"image_id": _image_id(data, i), **result})
    return results


def _image_id(data: DetectionDataset, i: int) -> Any:
    if hasattr(data, "image_ids"):
        return data.image_ids[i]
    path = pathlib.PurePath(data.file_name(i))
    return int(path.stem) if path.stem.isdecimal() else path.name
