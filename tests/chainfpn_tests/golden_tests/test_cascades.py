"""Cascades of detectron2 and mmdetection, stage by stage: what the originals found with the same weights."""

import numpy as np
import pytest

from chainfpn.links import FasterRCNN, RawDetections
from chainfpn.links.detectors.cascade_roi_heads import refine
from golden.build import build, convert, inference
from golden.compare import AFTER_FLOAT32, check_anchors, check_close, check_input, check_maps, count_matched
from golden.model import GoldenModel, names

pytestmark = pytest.mark.slow  # whole networks, all of them together

#: The models, and when more of them than a photograph is looked at.
CASCADES = [
    (GoldenModel(name), marks)
    for full, marks in ((False, pytest.mark.thorough), (True, pytest.mark.exhaustive))
    for name in names(full=full)
    if "cascade" in name
]

#: What the originals call the outputs of the box predictor of a stage.
PREDICTOR = {
    "detectron2": ("box_predictor", "cls_score", "bbox_pred"),
    "mmdetection": ("bbox_head", "fc_cls", "fc_reg"),
}

#: Each model with each of its photographs, the smallest one every time.
CASES = [
    pytest.param(model, photo, marks=[] if photo == "chelsea_225" else marks, id=f"{model.name}-{photo}")
    for model, marks in CASCADES
    for photo in model.photos
]
EACH = [pytest.param(model, marks=marks, id=model.name) for model, marks in CASCADES]


@pytest.fixture(scope="module")
def cascade(request, tmp_path_factory):
    """A model's answers, and the detector converted from its weights."""
    weights = convert(request.param, tmp_path_factory.mktemp("golden"))
    return request.param, build(request.param, weights)


def check_stages(model, photo, heads, levels, proposals, sizes):
    """Compare what each stage predicts for the boxes that the first 20 proposals have become."""
    bboxes, (part, *outputs) = [proposals[0][:20]], PREDICTOR[model.framework]
    for i, stage in enumerate(heads):
        logits, deltas = stage(levels, bboxes, sizes)
        found = np.roll(logits.array, -1, axis=1), deltas.array  # their background is the last class
        for name, array in zip(outputs, found, strict=True):
            key = f"head_logits/{part}.{i}.{name}"
            check_close(array, model.arrays(photo)[key], key, AFTER_FLOAT32)
        bboxes = refine(stage, deltas, bboxes, sizes)


@pytest.mark.parametrize(("cascade", "photo"), CASES, indirect=["cascade"])
def test_every_stage_and_detection_is_theirs(cascade, photo):
    """Of the masks, which take longest, the first four."""
    (model, detector), img = cascade, cascade[0].image(photo)
    answers, heads = model.arrays(photo), detector.roi_heads
    with inference():
        x, sizes = detector.prepare([img])
        check_input(model, photo, x)
        hs = detector.backbone(x)
        check_maps(model, photo, "feature", [h.array for h in hs])
        logits, deltas = detector.rpn.head(hs)
        anchors = detector.rpn.anchors(hs, x.shape[2:])
        check_anchors(model, photo, anchors)
        proposals = detector.rpn.propose(logits, deltas, anchors, sizes, x.shape[2:])
        check_close(proposals[0][:, [1, 0, 3, 2]], answers["proposals"], "proposals", AFTER_FLOAT32)
        levels = detector.roi_levels(hs)
        check_stages(model, photo, heads, levels, proposals, sizes)
        scores, refined = heads(levels, proposals, sizes)
        (found,) = heads[0].select_detections(scores, refined[0][:, None], refined, sizes)
        boxes = FasterRCNN._postprocess(detector, found, img.shape[1:], sizes[0])
        assert count_matched(model, photo, boxes) == len(answers["boxes"]) == 100
        first = RawDetections(*(array[:4] for array in found[:3]))
        ((*_, mask, _, _),) = heads.add_masks(levels, [first], sizes)
        check_close(mask, answers["mask_probabilities"], "mask_probabilities", AFTER_FLOAT32)
        pasted = detector.paste(mask, boxes.bbox[:4], img.shape[1:])
        assert pasted.sum(axis=(1, 2)).tolist() == answers["mask_areas"][:4].tolist()


@pytest.mark.parametrize("cascade", EACH, indirect=True)
def test_every_mask_of_a_photograph_is_theirs(cascade):
    """But for a pixel where a probability is a half up to rounding."""
    (model, detector), photo = cascade, cascade[0].photos[-1]
    with inference():
        (found,) = detector.detect([model.image(photo)])
    areas, expected = found.mask.sum(axis=(1, 2)), model.arrays(photo)["mask_areas"]
    assert np.abs(areas - expected).max() <= 1
    assert (areas == expected).mean() >= 0.95


@pytest.mark.parametrize("model", EACH)
def test_in_single_precision_as_many_are_theirs_as_with_them(model, tmp_path):
    detector = build(model, convert(model, tmp_path), "float32")
    for photo in model.photos:
        with inference("float32"):
            (found,) = detector.detect([model.image(photo)])
        n_matched = count_matched(model, photo, found, pixels=0.5, score=0.001)
        assert n_matched >= model.facts[photo]["matched_by_its_own_float32"]
