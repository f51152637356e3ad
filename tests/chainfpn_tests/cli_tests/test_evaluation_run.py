"""What COCO's results say of a box, a label and a keypoint, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from chainfpn.cli.evaluation_run import _coco_results

FOUND = {
    "bbox": np.array([[1, 2, 5, 8]], np.float32),
    "label": np.array([1]),
    "score": np.array([0.5], np.float32),
    "point": np.array([[[3, 4], [1.5, 2.5]]], np.float32),
}


@pytest.mark.parametrize(("file", "image_id"), [("a/000070.jpg", 70), ("a/seven.jpg", "seven.jpg")])
def test_a_detection_in_data_without_ids(file, image_id):
    evaluation = SimpleNamespace(label_names=("person", "cup"), detections=lambda: [(3, FOUND)])
    data = SimpleNamespace(label_names=("cup", "person"), file_name=lambda i: file if i == 3 else None)
    (result,) = _coco_results(evaluation, data)
    assert (result["image_id"], result["category_id"]) == (image_id, 1)
    assert (result["bbox"], result["score"]) == ([2, 1, 6, 4], 0.5)
    assert result["keypoints"] == [4, 3, 1, 2.5, 1.5, 1]
