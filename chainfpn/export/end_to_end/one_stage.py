"""Detectors of one stage in a graph: what the head predicts becomes detections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from chainfpn.export.end_to_end.boxes import best, clip, decode, make_anchors, rows_of, suppress, top_k
from chainfpn.export.end_to_end.prepare import Prepared
from chainfpn.export.graph import Tensor
from chainfpn.export.trace import ExportError, Trace
from chainfpn.links.detectors.fcos import FCOS
from chainfpn.links.detectors.retinanet import RetinaNet
from chainfpn.links.detectors.ssd import SSD
from chainfpn.links.kuangliu_retinanet import KuangliuRetinaNet


class Found(NamedTuple):
    """Detections in pixels of the batch, by descending score.

    Attributes:
        bbox (Tensor): float32, (R, 4), yxyx.
        class_id (Tensor): int64, (R,).
        score (Tensor): float32, (R,).
    """

    bbox: Tensor
    class_id: Tensor
    score: Tensor


def levels_of(outputs: Mapping[str, Tensor], name: str) -> list[Tensor]:
    """Return the outputs ``name.0``, ``name.1`` ... of a part."""
    return [tensor for key, tensor in outputs.items() if key.partition(".")[0] == name]


def detect(detector: Any, outputs: Mapping[str, Tensor], seen: Trace, prepared: Prepared) -> Found:
    """Turn what the heads predict for one image into detections.

    Args:
        detector (Detector): A RetinaNet, FCOS, SSD or KuangliuRetinaNet.
        outputs (mapping): What the dense part gives.
        seen (Trace): Of that part.
        prepared (Prepared): The batch.

    Returns:
        Found: The detections.

    Raises:
        ExportError: if it is another detector.
    """
    postprocess = next((POSTPROCESS[kind] for kind in type(detector).__mro__ if kind in POSTPROCESS), None)
    if postprocess is None:
        raise ExportError(f"there is no end to end form of a {type(detector).__name__}; the dense form has one")
    anchors = _anchors(detector, outputs, seen, prepared)
    deltas = [delta.reshape(-1, 4) for delta in levels_of(outputs, "deltas")]
    logits = [logit.gather(0) for logit in levels_of(outputs, "logits")]  # levels of (N_l, K)
    centers = [center.gather(0) for center in levels_of(outputs, "centers")]
    return postprocess(detector, logits, centers, deltas, anchors, prepared.size)


def _anchors(detector, outputs, seen, prepared):
    """Return the anchors of each level: of an SSD, whose images are of one size, they are constants."""
    if not isinstance(detector, SSD):
        sizes = [h.shape(2) for h in levels_of(outputs, "map")]
        return make_anchors(detector.anchor_generator, sizes, prepared.padded)
    sizes = [value.shapes[0][2:] for name, value in seen.outputs.items() if name.startswith("map.")]
    return [
        prepared.x.graph.constant(boxes)
        for boxes in detector.anchor_generator(sizes, detector.preprocess.fixed_size, np)
    ]


def _of_each_level(detector, logits, centers, deltas, anchors, size):
    """Threshold, best of each level, decode, clip, NMS per class: RetinaNet and FCOS."""
    if not detector.clip_before_nms or detector.min_size or getattr(detector, "rank_by_class", False):
        raise ExportError("boxes must be chosen and clipped by torchvision's rules to be in the file")
    graph, parts, n_classes = size.graph, [], np.int64(detector.head.classification_head.n_output)
    for level, (logit, delta, anchor) in enumerate(zip(logits, deltas, anchors, strict=True)):
        score = graph.op("Sigmoid", logit)  # (N_l, K)
        if centers:
            score = graph.op("Sqrt", score * graph.op("Sigmoid", centers[level]))
        score, candidates = top_k(score.reshape(-1), detector.topk_candidates)  # (R_l,)
        row = candidates / n_classes
        bbox = clip(decode(detector.box_coder, delta.gather(row), anchor.gather(row)), size)  # (R_l, 4)
        parts.append((bbox, candidates - row * n_classes, score))
    bbox, class_id, score = (graph.concat(columns) for columns in zip(*parts, strict=True))
    classes = graph.constant(np.arange(n_classes, dtype=np.int64)[:, None])
    by_class = graph.op("Where", class_id.unsqueeze(0).equals(classes), score, np.float32(-1), dtype=np.float32)
    _, _, row = suppress(bbox.unsqueeze(0), by_class.unsqueeze(0), detector.nms_thresh, detector.score_thresh)
    score, row = best(score.gather(row), detector.detections_per_img, row)
    return Found(bbox.gather(row), class_id.gather(row), score)


def _of_each_class(detector, logits, centers, deltas, anchors, size):
    """Threshold, best of each class, decode, clip, NMS per class: SSD."""
    graph = size.graph
    score = graph.op("Softmax", graph.concat(logits), axis=1).transpose(1, 0)  # (K, N)
    score = score.slice(1, 2**31 - 1)  # (K - 1, N)
    score, row = top_k(score, detector.topk_candidates)  # (K - 1, R')
    delta, anchor = graph.concat(deltas).gather(row), graph.concat(anchors).gather(row)  # (K - 1, R', 4)
    bbox = clip(decode(detector.box_coder, delta, anchor), size)
    group, _, row = suppress(bbox, score.unsqueeze(1), detector.nms_thresh, detector.score_thresh)
    score, group, row = best(rows_of(score, group, row), detector.detections_per_img, group, row)
    return Found(rows_of(bbox, group, row), group + np.int64(1), score)


def _over_all_labels(detector, logits, centers, deltas, anchors, size):
    """Threshold, decode, NMS over all labels, sides counted in whole pixels: kuangliu's RetinaNet."""
    graph = size.graph
    logit = graph.concat(logits)  # (N, K)
    class_id = graph.op("ArgMax", logit, dtype=np.int64, axis=1, keepdims=0)
    score = graph.op("Sigmoid", graph.op("ReduceMax", logit, axes=[1], keepdims=0))
    bbox = decode(detector.box_coder, graph.concat(deltas), graph.concat(anchors))  # (N, 4)
    pixels = bbox + np.array((0, 0, 1, 1), np.float32)
    _, _, row = suppress(pixels.unsqueeze(0), score.unsqueeze(0, 1), detector.nms_thresh, detector.score_thresh)
    score, row = best(score.gather(row), None, row)
    return Found(bbox.gather(row), class_id.gather(row), score)


#: Detector to what turns its heads' predictions into detections.
POSTPROCESS = {
    SSD: _of_each_class,
    RetinaNet: _of_each_level,
    FCOS: _of_each_level,
    KuangliuRetinaNet: _over_all_labels,
}
