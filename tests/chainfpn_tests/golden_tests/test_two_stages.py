"""Faster, Mask and Keypoint R-CNN under the rules of detectron2 and mmdetection give those frameworks' own answers."""

import functools

import numpy as np
import pytest

from golden.build import as_maps, build, convert, inference
from golden.compare import (
    AFTER_FLOAT32,
    PIXELS,
    SCORE,
    check_anchors,
    check_close,
    check_input,
    check_maps,
    count_matched,
)
from golden.model import GoldenModel, names

pytestmark = pytest.mark.slow  # whole networks, all of them together

#: Those that differ in more than another shows, with fewer detections where a head on them takes its time.
QUICK = {
    "detectron2/small_faster_rcnn_R_18_FPN_odd": 100,
    "detectron2/small_mask_rcnn_R_18_FPN": 4,
    "detectron2/small_keypoint_rcnn_R_18_FPN": 1,
    "mmdetection/small_faster-rcnn_r50-caffe_fpn": 100,
}


def rcnns(*, full=False):
    """List the detectors of two stages."""
    return [name for name in names(full=full) if "rcnn" in name.replace("-", "") and "cascade" not in name]


@pytest.fixture(scope="module")
def detector_of(tmp_path_factory):
    """Make a detector of a golden model, the last of which is kept."""

    @functools.lru_cache(maxsize=1)
    def make(name, n_detections):
        model = GoldenModel(name)
        weights = convert(model, tmp_path_factory.mktemp("golden"))
        return model, build(model, weights, box_detections_per_img=n_detections)

    return make


@pytest.mark.parametrize(("name", "n_detections"), QUICK.items())
def test_every_stage(detector_of, name, n_detections):
    model, detector = detector_of(name, n_detections)
    photo = "chelsea_225"
    answers = model.arrays(photo)
    with inference():
        x, sizes = detector.prepare([model.image(photo)])
        check_input(model, photo, x)
        hs = detector.backbone(x)
        check_maps(model, photo, "feature", [h.array for h in hs])
        anchors = detector.rpn.anchors(hs, x.shape[2:])
        check_anchors(model, photo, anchors)
        logits, deltas = detector.rpn.head(hs)
        check_maps(model, photo, "objectness", as_maps(logits, hs))
        check_maps(model, photo, "deltas", as_maps(deltas, hs))
        (proposals,) = detector.rpn.propose(logits, deltas, anchors, sizes)
        expected = answers["proposals"][:, [1, 0, 3, 2]]
        assert len(proposals) == model.facts[photo]["n_proposals"]
        check_close(proposals[: len(expected)], expected, "proposals", AFTER_FLOAT32)
        levels = detector.roi_levels(hs)
        pooled = detector.roi_heads.pool(levels, [proposals[:50]], sizes, 7).array
        check_close(pooled.mean(axis=(1, 2, 3)), answers["pooled_mean"], "pooled", AFTER_FLOAT32)
        check_close(pooled[0, 0], answers["pooled_0_channel_0"], "pooled", AFTER_FLOAT32)
        predicted = [h.array for h in detector.roi_heads(levels, [proposals[:20]], sizes)]
        check_close(np.roll(predicted[0], -1, axis=1), _head(answers, "cls"), "class logits", AFTER_FLOAT32)
        check_close(predicted[1][:, 4:], _head(answers, "bbox_pred", "fc_reg"), "box deltas", AFTER_FLOAT32)
        (raw,) = detector.roi_heads.detect(levels, [proposals], sizes)
    found = detector._postprocess(raw, model.facts[photo]["photo_size"], sizes[0])
    assert count_matched(model, photo, found) == min(n_detections, model.facts[photo]["n_detections"])
    if raw.mask is not None:
        check_close(raw.mask, answers["mask_probabilities"][: len(raw.mask)], "masks", AFTER_FLOAT32)
    _check_masks(model, photo, found)
    _check_points(model, photo, found)


def _head(answers, *words):
    """Return what a predictor gave."""
    (key,) = (key for key in answers if key.startswith("head_logits/") and any(word in key for word in words))
    return answers[key]


def _check_masks(model, photo, found):
    """Compare areas, and pixel by pixel the masks that there are."""
    if found.mask is None:
        return
    areas = found.mask.sum(axis=(1, 2))
    expected = model.arrays(photo)["mask_areas"][: len(areas)]
    assert np.abs(areas - expected).max() <= 1  # a pixel on the border, in float32
    for mask, run_lengths in zip(found.mask, model.facts[photo]["mask_rle"], strict=False):
        counts = run_lengths["counts"]
        inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        np.testing.assert_array_equal(mask.T.ravel(), inside)


def _check_points(model, photo, found):
    if found.point is None:
        return
    expected = model.arrays(photo)["keypoints"][: len(found)]
    np.testing.assert_allclose(found.point, expected[..., [1, 0]], rtol=0, atol=PIXELS)
    np.testing.assert_allclose(found.point_score, expected[..., 2], rtol=0, atol=SCORE)


@pytest.mark.thorough
@pytest.mark.parametrize("name", rcnns())
def test_every_detection(detector_of, name):
    model, detector = detector_of(name, 20 if "keypoint" in name else 100)
    _check_detections(model, detector, model.photos)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", rcnns(full=True))
def test_every_detection_of_full_size(detector_of, name):
    model, detector = detector_of(name, 100)
    _check_detections(model, detector, model.photos[:1])


def _check_detections(model, detector, photos):
    for photo in photos:
        with inference():
            (found,) = detector.detect([model.image(photo)])
        assert count_matched(model, photo, found) == model.facts[photo]["n_detections"] == len(found), photo
        _check_masks(model, photo, found)
        _check_points(model, photo, found)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["detectron2/small_faster_rcnn_R_18_FPN", "mmdetection/small_faster-rcnn_r18_fpn"])
def test_as_many_in_float32_as_the_framework_itself(tmp_path, name):
    model = GoldenModel(name)
    detector = build(model, convert(model, tmp_path), "float32")
    for photo in model.photos:
        (found,) = detector.detect([model.image(photo)])
        matched = count_matched(model, photo, found, pixels=0.5, score=1e-3)
        assert matched >= model.facts[photo]["matched_by_its_own_float32"], photo
