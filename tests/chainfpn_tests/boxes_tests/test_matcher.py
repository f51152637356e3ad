"""Overlaps, matching and drawing, by hand and against loops, compiled and not."""

import numpy as np
import pytest
from chainer.backends import cuda

from chainfpn.boxes import bbox_iou, match, match_ssd, sample
from chainfpn.functions.kernels import cpu_ops, iou_match, numpy_engine

BOX = np.array([[0, 0, 10, 10]], np.float32)


@pytest.fixture(params=["engine", "numpy"], autouse=True)
def engine(request, monkeypatch):
    """Run every test with what is installed, and with NumPy alone."""
    if request.param == "numpy":
        monkeypatch.setattr(cpu_ops, "engine", lambda: numpy_engine)


def _random(n, seed):
    random = np.random.default_rng(seed)
    corner = random.integers(0, 60, (n, 2))  # whole numbers, so that overlaps are often equal
    return np.concatenate((corner, corner + random.integers(1, 40, (n, 2))), axis=1).astype(np.float32)


def test_overlaps_by_hand():
    bbox = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [5, 5, 15, 15], [10, 0, 20, 10], [2, 2, 2, 8]], np.float32)
    np.testing.assert_allclose(bbox_iou(BOX, bbox), [[1, 0.5, 25 / 175, 0, 0]], rtol=1e-6)
    assert bbox_iou(BOX, bbox.astype(np.float64)).dtype == np.float64
    assert bbox_iou(BOX[:0], bbox).shape == (0, 5)


def test_half_precision_does_not_overflow():
    bbox = np.array([[0, 0, 600, 600]], np.float16)  # of area 360000, which float16 has not
    assert bbox_iou(bbox, bbox).tolist() == [[1.0]]


def test_thresholds_belong_to_the_upper_side():
    """An IoU of exactly 0.5 is a match if that is asked for, and one of exactly ``low`` is not background."""
    half, fifth = [0, 0, 10, 5], [0, 0, 10, 2]
    bbox = np.array([half, fifth], np.float32)
    assert match(bbox, BOX, fg_iou_thresh=0.5, bg_iou_thresh=0.25).tolist() == [0, -1]
    assert match(bbox, BOX, fg_iou_thresh=0.6, bg_iou_thresh=0.5).tolist() == [-2, -1]
    assert match(bbox, BOX, fg_iou_thresh=0.6, bg_iou_thresh=0.2).tolist() == [-2, -2]


def test_no_object_goes_without_a_box():
    """The best boxes of the second object, two equal ones, keep the object they overlap most, which is the first."""
    objects = np.array([[0, 0, 10, 10], [0, 0, 100, 100]], np.float32)
    bbox = np.array([[0, 0, 10, 8], [0, 0, 9, 10], [0, 0, 10, 9], [50, 50, 52, 52]], np.float32)
    assert match(bbox, objects, fg_iou_thresh=0.85, bg_iou_thresh=0.3).tolist() == [-2, 0, 0, -1]
    assert match(bbox, objects, fg_iou_thresh=0.95, bg_iou_thresh=0.3).tolist() == [-2, -2, -2, -1]
    assert match(bbox, objects, fg_iou_thresh=0.95, bg_iou_thresh=0.3, allow_low_quality_matches=True).tolist() == [
        -2,
        0,
        0,
        -1,
    ]


def test_of_equal_objects_the_first_wins():
    assert match(BOX, np.concatenate((BOX, BOX)), fg_iou_thresh=0.5, bg_iou_thresh=0.5).tolist() == [0]


def test_nothing_to_match():
    assert match(BOX, BOX[:0], fg_iou_thresh=0.5, bg_iou_thresh=0.5, allow_low_quality_matches=True).tolist() == [-1]
    assert match(BOX[:0], BOX, fg_iou_thresh=0.5, bg_iou_thresh=0.5).tolist() == []
    assert match_ssd(BOX, BOX[:0], 0.5).tolist() == [-1]


def test_thresholds_in_the_wrong_order_are_named():
    with pytest.raises(ValueError, match=r"match: bg_iou_thresh must be <= fg_iou_thresh, got 0\.7 and 0\.3"):
        match(BOX, BOX, fg_iou_thresh=0.3, bg_iou_thresh=0.7)


@pytest.mark.parametrize("name", ["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def test_a_low_quality_match_may_have_a_limit(name):
    xp = pytest.importorskip(name)
    bbox = xp.asarray([[0, 0, 10, 10], [0, 0, 10, 20], [50, 50, 60, 60]], np.float32)
    objects = xp.asarray([[0, 0, 10, 14], [0, 0, 10, 15], [50, 50, 51, 51]], np.float32)
    thresholds = {"fg_iou_thresh": 0.9, "bg_iou_thresh": 0.1, "allow_low_quality_matches": True}
    # IoUs: 0.71 0.67 0, 0.7 0.75 0, 0 0 0.01
    assert cuda.to_cpu(match(bbox, objects, **thresholds)).tolist() == [0, 1, 2]
    assert cuda.to_cpu(match(bbox, objects, **thresholds, min_low_quality_iou=0.3)).tolist() == [0, 1, -1]
    wider = xp.asarray([[0, 0, 10, 10]], np.float32)  # the best of two, and the first's more than the last's
    assert cuda.to_cpu(match(wider, objects[:2], **thresholds)).tolist() == [0]
    assert cuda.to_cpu(match(wider, objects[:2], **thresholds, min_low_quality_iou=0.3)).tolist() == [1]


@pytest.mark.parametrize("n_object", [1, 7, 40])
@pytest.mark.parametrize("low_quality", [False, True])
def test_matching_equals_loops(n_object, low_quality, monkeypatch):
    monkeypatch.setattr(iou_match, "BLOCK", 5000)  # several blocks of objects
    bbox, objects = _random(2500, 0), _random(n_object, 1)  # several tiles of boxes
    overlap = bbox_iou(objects, bbox)
    expected = np.empty(len(bbox), int)
    for i in range(len(bbox)):
        best = int(overlap[:, i].argmax())
        value = overlap[best, i]
        expected[i] = best if value >= np.float32(0.6) else -2 if value >= np.float32(0.3) else -1
        if low_quality and any(overlap[j, i] == overlap[j].max() for j in range(n_object)):
            expected[i] = best
    found = match(bbox, objects, fg_iou_thresh=0.6, bg_iou_thresh=0.3, allow_low_quality_matches=low_quality)
    assert (found == expected).all()
    assert {-2, -1, 0} <= set(found.tolist())


def test_ssd_gives_each_object_its_best_box():
    objects = np.array([[0, 0, 10, 10], [0, 0, 10, 9]], np.float32)
    bbox = np.array([[0, 0, 10, 10], [0, 0, 10, 4]], np.float32)
    assert match(bbox, objects, fg_iou_thresh=0.5, bg_iou_thresh=0.5).tolist() == [0, -1]
    assert match_ssd(bbox, objects, 0.5).tolist() == [1, -1]  # the best box of both: the last one's


def test_drawing_by_hand():
    matched = np.array([3, -1, 0, -2, 1, -1, -1, 2])
    drawn = [array.tolist() for array in sample(matched, 5, 0.5, permutation=lambda n: np.arange(n)[::-1])]
    assert drawn == [[4, 7], [1, 5, 6]]  # the last two objects; all three of the background
    drawn = [array.tolist() for array in sample(matched, 4, 0.3, permutation=np.arange)]
    assert drawn == [[0], [1, 5, 6]]
    drawn = [array.tolist() for array in sample(np.array([-1, -1, -2]), 4, 0.5, permutation=np.arange)]
    assert drawn == [[], [0, 1]]


def test_drawing_asks_for_objects_then_background():
    asked = []
    sample(np.array([0, -1, 1, -1, -1]), 2, 0.5, permutation=lambda n: asked.append(n) or np.arange(n))
    assert asked == [2, 3]


def test_every_box_is_drawn_equally_often():
    np.random.seed(0)
    counts = np.zeros(6)
    for _ in range(600):
        counts[sample(np.full(6, -1), 2, 0.5)[1]] += 1
    assert counts.sum() == 1200
    assert counts.min() > 150
