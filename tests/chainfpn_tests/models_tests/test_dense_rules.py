"""RetinaNet and FCOS by the rules of detectron2 and mmdetection: what a builder puts together."""

import chainer
import numpy as np
import pytest

import chainfpn
from chainfpn import models
from chainfpn.boxes import MMDetectionPointGenerator
from chainfpn.errors import InvalidArgument
from chainfpn.links import FCOSHead, ScaledFCOSHead
from chainfpn.training import TrainChain
from reference.agreement import disagreement
from reference.classifier_answers import without_initial_values
from reference.photographs import photographs
from reference.seeded_weights import fill_link
from reference.small_detectors import BASIC_GAINS

#: A detector of each kind, with rules that differ from torchvision's in all that is there.
CASES = [(models.retinanet_resnet_fpn, "detectron2"), (models.fcos_resnet_fpn, "mmdetection_caffe")]


def build(builder, **options):
    with without_initial_values():
        return builder(18, n_fg_class=3, fpn_channels=32, **options)


@pytest.mark.parametrize(
    ("rules", "n_detections", "class_ids", "relu", "from_pyramid", "clips"),
    [
        ("torchvision", 300, (1, 2, 3), True, True, True),
        ("detectron2", 100, (0, 1, 2), True, False, False),
        ("mmdetection", 100, (0, 1, 2), False, False, True),
        ("mmdetection_caffe", 100, (0, 1, 2), False, False, True),
    ],
)
def test_a_retinanet_follows_its_rules(rules, n_detections, class_ids, relu, from_pyramid, clips):
    detector = build(models.retinanet_resnet_fpn, rules=rules)
    levels = detector.backbone.fpn.extra_blocks
    assert (detector.detections_per_img, detector.class_ids) == (n_detections, class_ids)
    assert (levels.relu, levels.use_p5) == (relu, from_pyramid)
    assert detector.clip_before_nms == clips == (not detector.clip_to_photograph)
    assert detector.head.classification_head.n_output == class_ids[-1] + 1
    size = detector.anchor_generator.sizes[0][1]
    assert size == (40 if rules == "torchvision" else 32 * 2 ** (1 / 3))


def test_an_fcos_of_mmdetection_has_its_head_places_and_scores():
    detector = build(models.fcos_resnet_fpn, rules="mmdetection_caffe")
    assert isinstance(detector.head, ScaledFCOSHead)
    assert isinstance(detector.anchor_generator, MMDetectionPointGenerator)
    assert (detector.score_thresh, detector.nms_thresh, detector.rank_by_class) == (0.05, 0.5, True)
    assert tuple(detector.preprocess.mean) == (102.9801, 115.9465, 122.7717)
    assert detector.backbone.fpn.extra_blocks.use_p5
    (finest, *_) = detector.anchor_generator([(2, 2), (1, 1), (1, 1), (1, 1), (1, 1)], (16, 16), np)
    np.testing.assert_array_equal(finest[1], [0, 8, 8, 16])
    assert isinstance(build(models.fcos_resnet_fpn).head, FCOSHead)


def test_what_is_asked_for_goes_before_the_rules():
    detector = build(
        models.retinanet_resnet_fpn, rules="mmdetection", p7_relu=True, p6_from_trunk=False, class_ids=(1, 2, 3),
        detections_per_img=5, image_mean=(1, 2, 3), anchor_sizes=[(8,)] * 5,
    )  # fmt: skip
    levels = detector.backbone.fpn.extra_blocks
    assert (levels.relu, levels.use_p5) == (True, True)
    assert (detector.class_ids, detector.detections_per_img) == ((1, 2, 3), 5)
    assert tuple(detector.preprocess.mean) == (1, 2, 3)
    assert detector.anchor_generator.n_anchors == 3


def test_rules_are_kept_with_the_weights(tmp_path):
    detector = build(models.fcos_resnet_fpn, rules="mmdetection")
    chainfpn.save_weights(tmp_path / "fcos.npz", detector)
    again = models.load(tmp_path / "fcos.npz")
    assert again.meta == detector.meta
    assert again.meta["arguments"]["rules"] == "mmdetection"
    assert again.rank_by_class


def test_coco_has_eighty_outputs_where_there_is_none_for_the_background():
    with without_initial_values():
        detector = models.retinanet_resnet_fpn(18, fpn_channels=32, rules="detectron2")
    assert detector.head.classification_head.n_output == 80
    assert detector.label_names[-1] == "toothbrush"


@pytest.mark.parametrize(
    ("builder", "rules", "known"),
    [
        (models.retinanet_resnet_fpn, "chainercv", "torchvision, detectron2, mmdetection, mmdetection_caffe"),
        (models.fcos_resnet_fpn, "detectron2", "torchvision, mmdetection, mmdetection_caffe"),
    ],
)
def test_a_framework_without_such_a_detector_is_named(builder, rules, known):
    with pytest.raises(InvalidArgument, match=f"{builder.__name__}: rules must be one of {known}, got '{rules}'"):
        build(builder, rules=rules)


def build_seeded(builder, rules):
    """Build a small detector that finds something."""
    detector = build(builder, rules=rules, min_size=96, max_size=160)
    fill_link(detector, BASIC_GAINS)
    for scale in getattr(detector.head.regression_head, "scales", ()):
        scale.scale.array[...] = 1.5
    return detector


def check(found, expected):
    assert len(expected) > 5
    assert disagreement(found, expected) == ""


@pytest.mark.parametrize(("builder", "rules"), CASES)
def test_onnx_runtime_finds_the_same(builder, rules):
    detector, img = build_seeded(builder, rules), photographs()["small"]
    (found,), (expected,) = (each.detect([img]) for each in (detector.to_engine("onnx", threads=1), detector))
    check(found, expected)


@pytest.mark.gpu
@pytest.mark.parametrize(("builder", "rules"), CASES)
def test_a_gpu_finds_the_same(builder, rules):
    detector, img = build_seeded(builder, rules), photographs()["small"]
    (expected,) = detector.detect([img])
    detector.to_device("@cupy:0")
    (found,) = detector.detect([img])
    check(found, expected)


@pytest.mark.parametrize(("builder", "rules"), [*CASES, (models.retinanet_resnet_fpn, "mmdetection")])
def test_a_step_reaches_every_weight_of_the_head(builder, rules):
    detector = build_seeded(builder, rules)
    chain, img = TrainChain(detector), photographs()["small"]
    with chainer.using_config("train", True):
        loss = chain([img], [np.float32([[10, 20, 90, 120]])], [np.int32([2])])
    chain.cleargrads()
    loss.backward()
    assert np.isfinite(loss.array)
    grads = {path: np.abs(param.grad).max() for path, param in detector.head.namedparams()}
    unreached = [path for path, grad in grads.items() if not grad > 0]
    assert all(path.endswith("/scale") for path in unreached)  # of levels that no box is for
    assert len(unreached) < 5


def test_an_fcos_of_mmdetection_is_trained_for_distances_from_the_middle_of_its_places():
    """Distances that are those of the box, in pixels, and logits as sure as can be have no loss."""
    detector = build(models.fcos_resnet_fpn, rules="mmdetection")
    anchors = detector.anchor_generator([(4, 4), (2, 2), (1, 1), (1, 1), (1, 1)], (32, 32), np)
    box = np.float32([2, 1, 22, 31])  # for the first level, whose places are at 4, 12, 20, 28
    deltas, logits, centers = [], [], []
    for anchor in anchors:
        centre = (anchor[:, :2] + anchor[:, 2:]) / 2
        to_top, to_left, to_bottom, to_right = *(centre - box[:2]).T, *(box[2:] - centre).T
        sides = np.stack((to_left, to_top, to_right, to_bottom), axis=1)
        inside = (sides > 0).all(axis=1) & (len(anchor) == 16)
        ratio = np.sort(sides[:, [0, 2]])[:, 0] / np.sort(sides[:, [0, 2]])[:, 1]
        ratio = ratio * np.sort(sides[:, [1, 3]])[:, 0] / np.sort(sides[:, [1, 3]])[:, 1]
        deltas.append(np.where(inside[:, None], sides, 1)[None])
        centers.append(np.where(inside, np.sqrt(np.abs(ratio)), 0.5)[None, :, None])
        logits.append(np.where(inside[:, None] & (np.arange(3) == 1), 50, -50).astype("f")[None])
    assert [level[:, :, 1].max() for level in logits] == [50, -50, -50, -50, -50]
    entropy = -np.mean([c * np.log(c) + (1 - c) * np.log(1 - c) for c in centers[0][logits[0][:, :, 1] > 0]])
    centers = [np.log(center / (1 - center)) for center in centers]
    losses = detector.compute_loss(*map(_variables, (logits, deltas, centers)), anchors, [box[None]], [np.int32([1])])
    assert float(losses["class"].array) == pytest.approx(0, abs=1e-6)
    assert float(losses["box"].array) == pytest.approx(0, abs=1e-6)
    assert float(losses["centerness"].array) == pytest.approx(entropy, rel=1e-5)


def _variables(levels):
    return [chainer.Variable(level.astype(np.float32)) for level in levels]
