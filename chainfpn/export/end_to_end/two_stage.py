"""Detectors of two stages in a graph: proposals, RoI Align, detections, masks and keypoints."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainfpn.export.dense import Part, add_part, roi_parts
from chainfpn.export.end_to_end.boxes import (
    NEVER,
    are_large,
    best,
    clip,
    decode,
    make_anchors,
    rows_of,
    suppress,
    top_k,
)
from chainfpn.export.end_to_end.one_stage import Found, levels_of
from chainfpn.export.end_to_end.prepare import Prepared
from chainfpn.export.graph import Tensor


def propose(rpn: Any, outputs: Mapping[str, Tensor], prepared: Prepared) -> Tensor:
    """Turn the RPN head's output for one image into proposals.

    Args:
        rpn (RegionProposalNetwork): The numbers.
        outputs (mapping): What the dense part gives.
        prepared (Prepared): The batch.

    Returns:
        Tensor: (R, 4), yxyx in pixels of the batch, by descending score.
    """
    graph, size = prepared.x.graph, prepared.padded if rpn.clip_to_batch else prepared.size
    anchors = make_anchors(rpn.anchor_generator, [h.shape(2) for h in levels_of(outputs, "map")], prepared.padded)
    bboxes, scores = [], []
    for logit, delta, anchor in zip(levels_of(outputs, "logits"), levels_of(outputs, "deltas"), anchors, strict=True):
        logit, row = top_k(logit.reshape(-1), rpn.pre_nms_top_n_test)  # (R_l,)
        bbox = clip(decode(rpn.box_coder, delta.reshape(-1, 4).gather(row), anchor.gather(row)), size)  # (R_l, 4)
        counts = are_large(bbox, rpn.min_size).reshape(-1)
        if rpn.score_thresh > 0:
            counts = counts & (graph.op("Sigmoid", logit) >= rpn.score_thresh)
        logit = graph.op("Where", counts, logit, np.float32(NEVER), dtype=np.float32)
        score = logit.unsqueeze(0, 1)  # (1, 1, R_l)
        _, _, row = suppress(bbox.unsqueeze(0), score, rpn.nms_thresh, inclusive=rpn.inclusive)
        bboxes.append(bbox.gather(row))
        scores.append(logit.gather(row))
    _, bbox = best(graph.concat(scores), rpn.post_nms_top_n_test, graph.concat(bboxes))
    return bbox


def pool(heads: Any, hs: Sequence[Tensor], bbox: Tensor, size: Tensor, outsize: int) -> Tensor:
    """Pool boxes of one image from the level that their size asks for.

    Args:
        heads (RoIHeads): The numbers.
        hs (sequence of Tensor): (1, C, H_l, W_l), finest first.
        bbox (Tensor): (R, 4), yxyx in pixels of the batch.
        size (Tensor): Height and width of the image in the batch, int64, (2,).
        outsize (int): Side of the grid.

    Returns:
        Tensor: (R, C, outsize, outsize).
    """
    graph = bbox.graph
    exponents = [_exponent(h, size) for h in hs]  # level l has scale 2 ** exponent
    levels = _assign_levels(heads.level_rule, bbox, exponents[0], exponents[-1])  # (R,)
    pooled, order, mode = [], [], "half_pixel" if heads.aligned else "output_half_pixel"
    for level, (h, exponent) in enumerate(zip(hs, exponents, strict=True)):
        here = graph.op("NonZero", levels.equals(np.int64(level)), dtype=np.int64).reshape(-1)  # (R_l,)
        scale = graph.op("Pow", graph.constant(np.float32(2)), exponent)
        rois = bbox.gather(here).gather([1, 0, 3, 2], axis=1) * scale
        images = here * np.int64(0)
        pooled.append(
            graph.op(
                "RoiAlign", h, rois, images, mode="avg", output_height=outsize, output_width=outsize,
                sampling_ratio=max(heads.sampling_ratio, 0), spatial_scale=1.0, coordinate_transformation_mode=mode,
            )
        )  # fmt: skip
        order.append(here)
    places = graph.concat(order)
    inverse = graph.op("ScatterElements", places, places, graph.range(places.shape().gather(0)))
    return graph.concat(pooled).gather(inverse)


def _exponent(h, size):
    """Return the logarithm of feature pixels per image pixel, the nearest whole number: float32, ()."""
    ratio = h.shape(2).gather(0).cast(np.float64) / size.gather(0).cast(np.float64)
    return size.graph.op("Round", size.graph.op("Log", ratio) / math.log(2)).cast(np.float32)


def _assign_levels(rule, bbox, finest, coarsest):
    """See :func:`chainfpn.functions.kernels.geometry.assign_levels`."""
    graph = bbox.graph
    top, left, bottom, right = (side.reshape(-1) for side in bbox.columns())
    area = (bottom - top) * (right - left)
    area = graph.op("Where", area > 0.0, area, np.float32(1), dtype=np.float32)
    ratio = graph.op("Sqrt", area) / float(rule.canonical_scale) + rule.ratio_eps
    log2 = (graph.op("Log", ratio.cast(np.float64)) / math.log(2)).cast(np.float32)
    level = graph.op("Floor", (log2 + float(rule.canonical_level)) + rule.level_eps)
    first, last = (graph.op("Neg", exponent) for exponent in (finest, coarsest))
    return (graph.op("Min", graph.op("Max", level, first), last) - first).cast(np.int64)


def mean(tensors: Sequence[Tensor]) -> Tensor:
    """Return the mean of tensors of one shape."""
    total = functools.reduce(operator.add, tensors)
    return total if len(tensors) == 1 else total / float(len(tensors))


def _classify(heads, parts, names, hs, proposal, size):
    """Run the one stage there is, or all of a cascade: probabilities, (R, K), boxes, (R, K, 4), and K."""
    graph, outputs = proposal.graph, []
    average_logits = getattr(heads, "average_logits", False)
    for name, (stage, kind) in roi_parts(heads).items():
        if kind != "box":
            continue
        pooled = pool(stage, hs, proposal, size, stage.outsize)
        predictions, seen = add_part(graph, parts[name], pooled, names)
        n_output, n_delta = (seen.outputs[output].shapes[0][1] for output in ("logits", "deltas"))
        logits, deltas = predictions["logits"], predictions["deltas"].reshape(-1, n_delta // 4, 4)
        outputs.append(logits if average_logits else graph.op("Softmax", logits, axis=1))
        bbox = clip(decode(stage.box_coder, deltas, proposal.unsqueeze(1)), size)  # (R, K or 1, 4)
        if n_delta == 4:
            proposal = bbox.reshape(-1, 4)  # of the next stage
    score = mean(outputs)
    if average_logits:
        score = graph.op("Softmax", score, axis=1)
    if n_delta == 4:
        bbox = graph.op("Expand", bbox, graph.concat([score.shape(), [4]]))
    return score, bbox, n_output


def detect(
    detector: Any,
    parts: Mapping[str, Part],
    names: Mapping[int, str],
    outputs: Mapping[str, Tensor],
    prepared: Prepared,
) -> tuple[Found, list[Tensor]]:
    """Turn what the dense part gives for one image into detections.

    Args:
        detector (FasterRCNN): The detector.
        parts (mapping): Its parts.
        names (mapping): id of an array to its name in the model.
        outputs (mapping): What the dense part gives.
        prepared (Prepared): The batch.

    Returns:
        tuple: The detections, and the levels that boxes are pooled from.
    """
    heads, graph = detector.roi_heads, prepared.x.graph
    hs = detector.roi_levels(levels_of(outputs, "map"))
    proposal = propose(detector.rpn, outputs, prepared)  # (R, 4)
    score, bbox, n_output = _classify(heads, parts, names, hs, proposal, prepared.size)  # (R, K), (R, K, 4)
    counts = are_large(bbox, heads.min_size).reshape(-1, n_output)
    score = graph.op("Where", counts, score, np.float32(NEVER), dtype=np.float32)
    bbox, score = bbox.transpose(1, 0, 2).slice(1, n_output), score.transpose(1, 0).slice(1, n_output)  # (K - 1, R, 4)
    limits = heads.nms_thresh, heads.score_thresh
    group, _, row = suppress(bbox, score.unsqueeze(1), *limits, inclusive=heads.inclusive)
    score, group, row = best(rows_of(score, group, row), heads.detections_per_img, group, row)
    return Found(rows_of(bbox, group, row), group + np.int64(1), score), hs
