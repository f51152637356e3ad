"""COCO's figures of keypoints, against pycocotools on files."""

import contextlib
import io
import json

import numpy as np
import pytest

from chainfpn.training import evaluate_keypoints, oks_sigmas
from chainfpn.training.keypoint_evaluation import KEYPOINT_FIGURES

K = 17
PAIRS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO_NAMES = ["nose", *(f"{side}_{name}" for name in PAIRS for side in ("left", "right"))]


def test_sigmas_are_pycocotools():
    from pycocotools.cocoeval import Params

    np.testing.assert_allclose(oks_sigmas(COCO_NAMES), Params("keypoints").kpt_oks_sigmas)
    tip, nose, hip = oks_sigmas(["tip", "nose", "hip"])
    assert nose < tip < hip


@pytest.fixture
def arrays():
    """Ground truth of five images, one of them empty, and detections near it, of all sizes that COCO tells apart."""
    rng = np.random.default_rng(0)
    values = {name: [] for name in ("gt_bboxes", "gt_labels", "gt_points", "gt_visibles", "gt_areas", "gt_crowdeds")}
    values |= {name: [] for name in ("pred_bboxes", "pred_labels", "pred_scores", "pred_points")}
    for n in (3, 0, 2, 4, 1):
        corner, size = rng.uniform(0, 200, (n, 2)), rng.uniform(30, 250, (n, 2))
        bbox = np.concatenate((corner, corner + size), axis=1).astype(np.float32)
        point = corner[:, None] + rng.random((n, K, 2)) * size[:, None]
        values["gt_bboxes"].append(bbox)
        values["gt_labels"].append(np.zeros(n, dtype=np.int32))
        values["gt_points"].append(point.astype(np.float32))
        values["gt_visibles"].append(rng.random((n, K)) < rng.choice([0, 0.7], (n, 1), p=[0.3, 0.7]))
        values["gt_areas"].append(size.prod(axis=1) * 0.6)
        values["gt_crowdeds"].append(rng.random(n) < 0.1)
        good = rng.random(n) < 0.9
        noise = rng.normal(0, 0.08, (n, K, 2)) * np.sqrt(size.prod(axis=1))[:, None, None]
        values["pred_bboxes"].append(bbox[good] + 1)
        values["pred_labels"].append(np.zeros(good.sum(), dtype=np.int32))
        values["pred_scores"].append(rng.random(good.sum()))
        values["pred_points"].append((point + noise)[good].astype(np.float32))
    return values


def entries(values, side, image):
    """Return COCO's annotations or results of an image."""
    columns = (values[f"{side}_{name}"][image] for name in ("bboxes", "points"))
    for k, (bb, point) in enumerate(zip(*columns, strict=True)):
        y0, x0, y1, x1 = map(float, bb)
        visible = values["gt_visibles"][image][k] if side == "gt" else np.ones(K, dtype=bool)
        places = [(float(x), float(y), int(seen)) for (y, x), seen in zip(point, visible, strict=True)]
        entry = {"image_id": image, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
        entry |= {"keypoints": [value for place in places for value in place]}
        if side == "gt":
            entry |= {"area": float(values["gt_areas"][image][k]), "iscrowd": int(values["gt_crowdeds"][image][k])}
            yield {**entry, "num_keypoints": int(visible.sum())}
        else:
            yield {**entry, "score": float(values["pred_scores"][image][k])}


def test_figures_are_pycocotools(arrays):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    n = len(arrays["gt_bboxes"])
    truth = [entry for i in range(n) for entry in entries(arrays, "gt", i)]
    truth = [{**entry, "id": k} for k, entry in enumerate(truth, start=1)]
    results = [entry for i in range(n) for entry in entries(arrays, "pred", i)]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": i} for i in range(n)], "categories": [{"id": 1}], "annotations": truth}
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(json.loads(json.dumps(results))), "keypoints")
        run.evaluate()
        run.accumulate()
        run.summarize()
    found = evaluate_keypoints(**arrays, sigmas=oks_sigmas(COCO_NAMES))
    assert list(found) == list(KEYPOINT_FIGURES)
    np.testing.assert_allclose(list(found.values()), run.stats)
    assert 0.1 < found["AP"] < found["AP50"] < 1


def test_exact_points_are_perfect_and_what_nobody_marked_does_not_count():
    point = np.array([[[10, 10], [50, 50]], [[20, 20], [30, 30]]], dtype=np.float32)
    bbox, label = np.array([[0, 0, 60, 60], [0, 0, 50, 50]], dtype=np.float32), np.zeros(2, dtype=np.int32)
    truth = {"gt_bboxes": [bbox], "gt_labels": [label], "gt_points": [point]}
    seen = np.array([[True, False], [False, False]])
    first = {"pred_bboxes": [bbox[:1]], "pred_labels": [label[:1]], "pred_scores": [np.array([0.5])]}
    off = point[:1] + np.array([[[0, 0], [9, 9]]], dtype=np.float32)
    # both visible: (1 + exp(-162 / 0.1 ** 2 / 3600 / 2)) / 2 = 0.55, over two of ten thresholds, of one object of two
    for places, visible, expected in ((point[:1], seen, 1), (off, seen, 1), (off, seen | True, 0.2 * 51 / 101)):
        found = evaluate_keypoints(
            **first, **truth, pred_points=[places], gt_visibles=[visible], sigmas=np.array([0.05, 0.05])
        )
        assert found["AP"] == pytest.approx(expected)
    nothing = evaluate_keypoints(**first, **truth, pred_points=[off], gt_visibles=[seen & False], sigmas=np.ones(2))
    assert np.isnan(nothing["AP"])
