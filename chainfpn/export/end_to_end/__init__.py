"""Detectors from an image to what ``predict`` finds in it, in ONNX's operators alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainfpn.export.dense import add_part, parts_of, roi_parts
from chainfpn.export.end_to_end import branches, one_stage, two_stage
from chainfpn.export.end_to_end.boxes import scale_boxes
from chainfpn.export.end_to_end.one_stage import Found
from chainfpn.export.end_to_end.prepare import Prepared, prepare
from chainfpn.export.graph import Graph, Tensor
from chainfpn.export.trace import ExportError


def end_to_end_graph(detector: Any, names: Mapping[int, str]) -> Graph:
    """Return a detector with its input ``image``, and ``bboxes``, ``labels``, ``scores`` and what else it predicts.

    Args:
        detector (Detector): The detector.
        names (mapping): id of an array to its name in the model.

    Returns:
        Graph: The graph.

    Raises:
        ExportError: if a part of it cannot be written as ONNX.
    """
    graph, parts = Graph(), parts_of(detector)
    prepared = prepare(graph, detector.preprocess)
    if detector.clip_to_photograph or getattr(getattr(detector, "roi_heads", None), "keypoint_probabilities", False):
        raise ExportError("detections and keypoints must be torchvision's to be in the file; the dense form has any")
    outputs, seen = add_part(graph, parts["image"], prepared.x, names)
    if not hasattr(detector, "rpn"):
        _add_boxes(detector, one_stage.detect(detector, outputs, seen, prepared), prepared)
        return graph
    found, hs = two_stage.detect(detector, parts, names, outputs, prepared)
    found, bbox = _add_boxes(detector, found, prepared)
    heads = detector.roi_heads
    inside, bbox = branches.with_nothing(found.bbox), branches.with_nothing(bbox)  # (R + 1, 4) x 2
    class_id, masks = branches.with_nothing(found.class_id), []  # (R + 1,)
    for name, (stage, kind) in roi_parts(heads).items():
        if kind == "mask":
            logits = branches.branch(parts[name], names, stage, hs, inside, prepared.size)  # (R + 1, K, S, S)
            masks.append(branches.of_class(logits, class_id))  # (R + 1, S, S)
    if masks:
        pasted = branches.paste(detector, two_stage.mean(masks), bbox, prepared.image_size)
        graph.output("masks", branches.without_nothing(pasted), ("detections", "height", "width"))
    if "keypoint" in parts:
        heat = branches.branch(parts["keypoint"], names, heads, hs, inside, prepared.size)  # (R + 1, K, S, S)
        point, score = (branches.without_nothing(rows) for rows in branches.find_keypoints(heat, inside))
        factors = prepared.image_size.cast(np.float32) / prepared.size.cast(np.float32)
        n_keypoint = heads.keypoint_predictor.n_keypoint
        graph.output("points", point * factors, ("detections", n_keypoint, 2))
        graph.output("point_scores", score, ("detections", n_keypoint))
    return graph


def _add_boxes(detector: Any, found: Found, prepared: Prepared) -> tuple[Found, Tensor]:
    """Declare boxes, labels and scores, without the class ids that have no label.

    Returns:
        tuple: What is left, and its boxes in pixels of the image.
    """
    graph = prepared.x.graph
    table = np.full(max(detector.class_ids, default=0) + 1, -1, dtype=np.int64)
    table[list(detector.class_ids)] = np.arange(detector.n_fg_class)
    known = np.int64(len(table) - 1)
    label = graph.constant(table).gather(graph.op("Min", found.class_id, known))
    named = (label >= np.int64(0)) & graph.op("LessOrEqual", found.class_id, known, dtype=bool)
    rows = graph.op("NonZero", named, dtype=np.int64).reshape(-1)
    found = Found(*(tensor.gather(rows) for tensor in found))
    bbox = scale_boxes(found.bbox, prepared.image_size, prepared.size)
    graph.output("bboxes", bbox, ("detections", 4))
    graph.output("labels", label.gather(rows).cast(np.int32), ("detections",))
    graph.output("scores", found.score, ("detections",))
    return found, bbox
