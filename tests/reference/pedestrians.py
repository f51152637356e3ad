"""How good a detector of people is on the Penn-Fudan photographs that it was not trained with."""

import json
import re

import numpy as np
from chainercv.evaluations import eval_detection_voc
from chainercv.utils import read_image


def read_boxes(path):
    """Read the boxes of an annotation: float32, (R, 4), yxyx; the file counts pixels from 1."""
    corners = re.findall(r"\(Xmax, Ymax\) : \((\d+), (\d+)\) - \((\d+), (\d+)\)", path.read_text())
    boxes = np.array(corners, dtype=np.float32).reshape(-1, 4)
    return boxes[:, [1, 0, 3, 2]] - np.array([1, 1, 0, 0], dtype=np.float32)


def average_precision(detector, shared_data):
    """Evaluate on the 50 photographs: AP50, pedestrians, detections."""
    folder = shared_data / "pennfudan"
    names = json.loads((shared_data / "weights" / "pennfudan_test.json").read_text())
    detector.use_preset("evaluate")
    bboxes, labels, scores, gt_bboxes = [], [], [], []
    for name in names:
        found = detector.predict([read_image(folder / "PNGImages" / name)])
        for values, (value,) in zip((bboxes, labels, scores), found, strict=True):
            values.append(value)
        gt_bboxes.append(read_boxes(folder / "Annotation" / name.replace(".png", ".txt")))
    gt_labels = [np.zeros(len(boxes), dtype=np.int32) for boxes in gt_bboxes]
    result = eval_detection_voc(bboxes, labels, scores, gt_bboxes, gt_labels)
    return result["map"], sum(map(len, gt_bboxes)), sum(map(len, bboxes))


def torchvision_result(shared_data):
    """Read what torchvision's twin reached: AP50, pedestrians, detections."""
    text = (shared_data / "weights" / "result.txt").read_text()
    ap, pedestrians, detections = re.fullmatch(
        r"AP50 (\S+) on 50 images, (\d+) pedestrians, (\d+) detections, recall \S+\s*", text
    ).groups()
    return float(ap), int(pedestrians), int(detections)
