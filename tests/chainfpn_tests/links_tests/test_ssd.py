"""SSD: its maps, its scaled first map, and what becomes of scores; the whole is held against torchvision elsewhere."""

import chainer
import numpy as np
import pytest

from chainfpn import models
from chainfpn.boxes import DefaultBoxGenerator
from chainfpn.links import SSD, SSDHead
from chainfpn.links.backbones.ssd_vgg import _unit_length
from reference.photographs import photographs


def identity(h):
    return [h]


def detector(n_fg_class, **options):
    """Make an SSD of one map, with four boxes per position, whose trunk passes on what it gets."""
    anchors = DefaultBoxGenerator([[1]], [0.1, 0.4], [10])
    return SSD(identity, SSDHead([2], [4], n_fg_class + 1), anchors, n_fg_class=n_fg_class, **options)


@pytest.fixture(scope="module")
def ssd300():
    return models.ssd300_vgg16(3)


def test_the_maps_of_300_pixels(ssd300):
    x = np.zeros((1, 3, 300, 300), np.float32)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        hs = ssd300.backbone(x)
        logits, deltas = ssd300.head(hs)
    sizes = ((512, 38), (1024, 19), (512, 10), (256, 5), (256, 3), (256, 1))
    assert [h.shape for h in hs] == [(1, channels, n, n) for channels, n in sizes]
    assert sum(level.shape[1] for level in logits) == sum(level.shape[1] for level in deltas) == 8732
    assert {level.shape[2] for level in logits} == {4}


def test_every_position_of_the_first_map_has_the_learnt_length(ssd300):
    x, _ = ssd300.prepare([photographs()["small"]])
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        h = ssd300.backbone(x)[0].array
    np.testing.assert_allclose(np.sqrt((h**2).sum(axis=1)), 20, rtol=1e-4)


def test_lengths_that_half_precision_cannot_square():
    h = np.full((1, 4, 1, 2), 300, np.float16)
    h[..., 1] = 0
    y = _unit_length(chainer.Variable(h))
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y.array[0, :, 0], np.float16([[0.5, 0]] * 4))


def test_the_best_of_each_label_survive():
    """Two candidates per label: of three far boxes of the first label, the worst goes; the second label is its own."""
    model = detector(2, topk_candidates=2)
    model.score_thresh = 0.1
    score = np.full((16, 3), 0.05, np.float32)
    score[[0, 4, 8], 1] = 0.3, 0.5, 0.4
    score[[0, 5], 2] = 0.2, 0.15
    anchor = np.arange(16)[:, None] * 10 + np.float32([0, 0, 5, 5])
    (bbox, class_id, found, *_) = model.postprocess_detections(
        [score], [np.zeros((16, 4), np.float32)], [anchor], (200, 200)
    )
    assert class_id.tolist() == [1, 1, 2, 2]
    np.testing.assert_allclose(found, [0.5, 0.4, 0.2, 0.15])
    np.testing.assert_allclose(bbox[:, 0], [40, 80, 0, 50])


def test_the_same_box_may_have_two_labels_but_no_label_twice():
    model = detector(2, detections_per_img=3)
    score = np.float32([[0, 0.9, 0.8], [0, 0.7, 0.6], [0.99, 0.005, 0.005]])
    anchor = np.float32([[0, 0, 10, 10], [0, 0, 10, 11], [20, 20, 30, 30]])
    (_, class_id, found, *_) = model.postprocess_detections([score], [np.zeros((3, 4), np.float32)], [anchor], (40, 40))
    assert (class_id.tolist(), found.tolist()) == ([1, 2], [np.float32(0.9), np.float32(0.8)])


def test_boxes_are_not_rounded_to_half_precision():
    score, delta = np.array([[0.1, 0.9]], np.float16), np.zeros((1, 4), np.float16)
    anchor = np.float32([[1000.25, 1086.5, 1500.75, 1399.75]])
    bbox, *_ = detector(1).postprocess_detections([score], [delta], [anchor], (2000, 2000))
    np.testing.assert_array_equal(bbox, anchor)


def test_scores_sum_to_one_with_the_background():
    logits = [chainer.Variable(np.random.default_rng(0).standard_normal((2, 5, 3)).astype("f"))]
    (scores,) = detector(2).scores(logits)
    np.testing.assert_allclose(scores.sum(axis=2), 1, rtol=1e-6)


def test_presets():
    model = detector(1)
    assert (model.score_thresh, model.nms_thresh) == (0.01, 0.45)
    model.use_preset("visualize")
    assert (model.score_thresh, model.nms_thresh) == (0.6, 0.45)


@pytest.mark.parametrize("dtype", [np.dtype("float16"), chainer.mixed16])
def test_half_precision(dtype):
    with chainer.using_config("dtype", dtype):
        model = models.ssd300_vgg16(3)
        (bbox,), (label,), (score,) = model.predict([photographs()["small"]])
    assert 0 < len(bbox) == len(label) == len(score) <= 200
    assert np.isfinite(bbox).all()
    assert (bbox.dtype, label.dtype, score.dtype) == (np.float32, np.int32, np.float32)


def test_nothing_found(ssd300):
    ssd300.score_thresh = 1.0
    (bbox,), (label,), (score,) = ssd300.predict([photographs()["small"]])
    assert (bbox.shape, label.shape, score.shape) == ((0, 4), (0,), (0,))
