"""RetinaNet and FCOS by the rules of detectron2 and mmdetection: what a builder puts together."""

import numpy as np
import pytest

import chainfpn
from chainfpn import models
from chainfpn.boxes import MMDetectionPointGenerator
from chainfpn.errors import InvalidArgument
from chainfpn.links import FCOSHead, ScaledFCOSHead
from reference.classifier_answers import without_initial_values


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
