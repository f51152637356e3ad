"""Training under the rules of detectron2 and mmdetection: their anchors, coders and box losses."""

import numpy as np
import pytest

from chainfpn import models
from chainfpn.boxes import bbox_iou
from chainfpn.links import RegionProposalNetwork, RPNHead
from chainfpn.links.detectors.roi_heads import SampledProposals, fastrcnn_loss
from chainfpn.links.detectors.rpn import SampledAnchors
from reference.slim_detectors import pictures, reported_by
from reference.training import train_chain

RULES = ("detectron2", "mmdetection", "mmdetection_caffe")


def build(rules):
    """Build a slim Faster R-CNN for images of 64 pixels."""
    small = {"fpn_channels": 8, "head_channels": 16, "min_size": 64, "max_size": 96, "stages": (2, 3)}
    return models.fasterrcnn_resnet_fpn(18, 3, rules=rules, **small)


@pytest.mark.parametrize("rules", RULES)
def test_a_step(rules):
    """Every weight has a gradient, and the errors of boxes count as they are."""
    model = build(rules)
    loss, reported = reported_by(train_chain(model), pictures())
    model.cleargrads()
    loss.backward()
    assert np.isfinite(list(reported.values())).all()
    assert [path for path, param in model.namedparams() if param.grad is None] == []


@pytest.mark.parametrize("rules", RULES)
def test_the_loss_of_proposals_is_a_plain_loops(rules):
    rpn, rng = build(rules).rpn, np.random.RandomState(0)
    rpn.permutation = np.arange
    hs = [rng.normal(size=(1, 8, side, side)).astype(np.float32) for side in (8, 4, 2)]
    gt_bbox = np.array([[2, 3, 40, 30], [10, 5, 60, 62], [30, 30, 33, 34]], np.float32)  # the last nothing fits
    _, losses = rpn.losses(hs, [(64, 64)], (64, 64), [gt_bbox])
    anchors = np.concatenate(rpn.anchors(hs, (64, 64)))
    deltas = np.concatenate([delta.array[0] for delta in rpn.head(hs)[1]])
    iou = bbox_iou(anchors, gt_bbox)
    best_of = (iou == iou.max(axis=0)) & (iou.max(axis=0) >= (0.3 if "mmdetection" in rules else 0))  # (N, 3)
    is_best, matched = best_of.any(axis=1), iou.argmax(axis=1)
    if "mmdetection" in rules:
        matched[is_best] = best_of[is_best].argmax(axis=1)
    positives = np.flatnonzero(is_best | (iou.max(axis=1) >= 0.7))
    assert best_of[:, 2].any() == (rules == "detectron2")
    total = 0
    for i in positives:
        (y, x, bottom, right), (top, left, low, far) = gt_bbox[matched[i]], anchors[i]
        width, height = far - left, low - top
        total += abs(deltas[i, 0] - ((x + right) - (left + far)) / 2 / width)
        total += abs(deltas[i, 1] - ((y + bottom) - (top + low)) / 2 / height)
        total += abs(deltas[i, 2] - np.log((right - x) / width)) + abs(deltas[i, 3] - np.log((bottom - y) / height))
    n_sampled = min(256, len(positives) + int((iou.max(axis=1)[~is_best] < 0.3).sum()))
    assert 0 < len(positives) < 128
    assert float(losses["rpn_box"].array) == pytest.approx(total / n_sampled, rel=1e-5)


def test_errors_of_proposals_and_detections_count_as_they_are():
    found = np.float32([[0.5, 0.01, -2, 0]])
    sampled = SampledAnchors(np.array([0]), np.zeros((1, 4), np.float32))
    rpn = RegionProposalNetwork(RPNHead(4, 1), None, smooth_l1_beta=0.0)
    losses = rpn.compute_loss([np.zeros((1, 1), np.float32)], [found[None]], sampled)
    assert float(losses["rpn_box"].array) == pytest.approx(2.51)
    proposals = SampledProposals(
        None, np.array([1], np.int32), np.array([0]), np.array([0]), np.zeros((1, 4), np.float32)
    )
    losses = fastrcnn_loss(np.zeros((1, 2), np.float32), np.concatenate((found, found), axis=1), [proposals], beta=0.0)
    assert float(losses["roi_box"].array) == pytest.approx(2.51)
