"""Arguments of detectors are attributes, checked by the constructor and whenever they are set later."""

import inspect

import numpy as np
import pytest

from chainfpn.errors import InvalidArgument
from chainfpn.links import (
    FCOS,
    SSD,
    CascadeRoIHeads,
    FasterRCNN,
    Preprocess,
    RegionProposalNetwork,
    RetinaNet,
    RetinaNetHead,
    RoIHeads,
)

PARTS = {
    "rpn": lambda **options: RegionProposalNetwork(None, None, **options),
    "roi_heads": lambda **options: RoIHeads(None, None, **options),
    "retinanet": lambda **options: RetinaNet(None, None, None, n_fg_class=2, **options),
    "fcos": lambda **options: FCOS(None, None, None, n_fg_class=2, **options),
    "ssd": lambda **options: SSD(None, None, None, n_fg_class=2, **options),
    "head": lambda **options: RetinaNetHead(32, 1, 2, **options),
    "preprocess": lambda **options: Preprocess(**options),
    "cascade": lambda **options: CascadeRoIHeads(*(RoIHeads(None, None) for _ in range(3)), **options),
}
WRONG = {
    "fg_iou_thresh": ("in 0 to 1", 1.5),
    "bg_iou_thresh": ("in 0 to 1", float("nan")),
    "iou_thresh": ("in 0 to 1", "high"),
    "nms_thresh": ("in 0 to 1", -0.1),
    "score_thresh": ("a number", float("nan")),
    "batch_size_per_image": ("a whole number >= 1", 0),
    "positive_fraction": ("> 0 and <= 1", 0),
    "pre_nms_top_n_train": ("a whole number >= 1", 1.5),
    "post_nms_top_n_train": ("a whole number >= 1", True),
    "pre_nms_top_n_test": ("a whole number >= 1", None),
    "post_nms_top_n_test": ("a whole number >= 1", -1),
    "detections_per_img": ("None or a whole number >= 1", 0),
    "topk_candidates": ("a whole number >= 1", 0),
    "center_sampling_radius": ("> 0", float("inf")),
    "bbox_reg_weights": ("four numbers > 0", (1, 1, 1)),
    "outsize": ("a whole number >= 1", 0),
    "sampling_ratio": ("a whole number", 0.5),
    "inclusive": ("True or False", 1),
    "clip_to_batch": ("True or False", None),
    "clip_before_nms": ("True or False", 0),
    "average_logits": ("True or False", None),
    "stage_loss_weights": ("numbers >= 0", (1, -1, 1)),
    "rank_by_class": ("True or False", "yes"),
    "smooth_l1_beta": (">= 0", -1),
    "aligned": ("True or False", 0),
    "nms_in_photograph": ("True or False", "yes"),
    "keypoint_probabilities": ("True or False", None),
    "min_low_quality_iou": ("None or in 0 to 1", 2),
    "min_log_scale": ("None or a number <= 0", 1),
    "box_loss": ("one of l1, giou", "ciou"),
    "mean": ("three numbers", (0, 0)),
    "std": ("three numbers > 0", (0, 1, 1)),
    "fixed_size": ("None or two whole numbers >= 1", (0, 8)),
    "channel_order": ("RGB or BGR", "rgb"),
    "size_divisible": ("a whole number >= 1", 0),
}


def cases():
    for part, make in PARTS.items():
        for name in inspect.signature(type(make()).__init__).parameters:
            if name in WRONG:
                yield part, name


@pytest.mark.parametrize(("part", "name"), list(cases()))
def test_an_option_is_checked_when_it_is_set(part, name):
    rule, wrong = WRONG[name]
    model = PARTS[part]()
    before = getattr(model, name)
    for refused in (lambda: PARTS[part](**{name: wrong}), lambda: setattr(model, name, wrong)):
        with pytest.raises(InvalidArgument, match=f"{type(model).__name__}: {name} must be ") as caught:
            refused()
        assert (caught.value.field, caught.value.rule) == (name, rule)
        assert caught.value.value is wrong
    assert getattr(model, name) == before


def test_every_rule_has_a_case():
    from chainfpn._option_rules import RULES

    assert RULES.keys() - WRONG.keys() == {"min_size", "n_roi_levels"}
    assert {name for _, name in cases()} == WRONG.keys()


@pytest.mark.parametrize("part", ["rpn", "roi_heads", "retinanet"])
def test_crossed_thresholds_are_refused(part):
    sentence = "bg_iou_thresh must be <= fg_iou_thresh, got 0.6 and 0.55"
    with pytest.raises(InvalidArgument, match=f"{type(PARTS[part]()).__name__}: {sentence}"):
        PARTS[part](fg_iou_thresh=0.55, bg_iou_thresh=0.6)


def test_thresholds_of_a_faster_rcnn_are_those_of_its_heads():
    model = FasterRCNN(None, None, PARTS["roi_heads"](score_thresh=0.3, nms_thresh=0.6), n_fg_class=2)
    assert (model.score_thresh, model.nms_thresh) == (0.3, 0.6)
    model.score_thresh = 0.4
    assert model.roi_heads.score_thresh == 0.4
    with pytest.raises(InvalidArgument, match="nms_thresh must be in 0 to 1, got 2"):
        model.nms_thresh = 2
    model.use_preset("visualize")
    assert (model.roi_heads.score_thresh, model.roi_heads.nms_thresh) == (0.7, 0.6)
    model.use_preset("evaluate")
    assert (model.roi_heads.score_thresh, model.roi_heads.nms_thresh) == (0.3, 0.6)


@pytest.mark.parametrize("part", ["retinanet", "fcos", "ssd"])
def test_the_preset_to_evaluate_is_what_the_constructor_was_given(part):
    model = PARTS[part](score_thresh=0.3, nms_thresh=0.7)
    model.score_thresh = 0.1
    model.use_preset("visualize")
    assert model.score_thresh in (0.5, 0.6)
    model.use_preset("evaluate")
    assert (model.score_thresh, model.nms_thresh) == (0.3, 0.7)


def test_box_reg_weights_are_those_of_the_coder():
    heads = PARTS["roi_heads"]()
    heads.bbox_reg_weights = (1.0, 2.0, 3.0, 4.0)
    assert heads.box_coder.weights == (1, 2, 3, 4)


@pytest.mark.parametrize("name", ["class_ids", "label_names"])
def test_labels_that_are_set_later_are_checked(name):
    model = PARTS["ssd"]()
    with pytest.raises(ValueError, match=f"Detector: {name} must have n_fg_class = 2 entries, got 3"):
        setattr(model, name, ["a", "b", "c"])
    setattr(model, name, [4, 5])
    assert getattr(model, name) == (4, 5)


def test_the_number_of_labels_stays():
    model = PARTS["ssd"]()
    with pytest.raises(InvalidArgument, match="SSD: n_fg_class must be left at 2, got 3"):
        model.n_fg_class = 3


def test_sides_of_images_that_are_set_later_count():
    preprocess = Preprocess(400, 600)
    preprocess.min_size = 64
    assert preprocess.train_sizes == (64,)
    assert preprocess.resized_size((128, 256)) == (64, 128)
    preprocess.max_size = 96
    assert preprocess.resized_size((128, 256)) == (48, 96)
    preprocess.min_size = (32, 64)
    assert preprocess.train_sizes == (32, 64)
    with pytest.raises(InvalidArgument, match="Preprocess: min_size must be > 0 and <= max_size, got 97 and 96"):
        preprocess.min_size = 97
    with pytest.raises(InvalidArgument, match="Preprocess: max_size must be >= min_size and train_sizes, got 63"):
        preprocess.max_size = 63
    assert (preprocess.min_size, preprocess.max_size) == ((32, 64), 96)


def test_statistics_of_images_that_are_set_later_count():
    preprocess = Preprocess(8, 8, size_divisible=1)
    preprocess.mean, preprocess.std = [0, 0, 0], [1, 2, 4]
    x, _ = preprocess([np.full((3, 8, 8), 255, np.float32)])
    np.testing.assert_allclose(x[0, :, 0, 0], [1, 0.5, 0.25])


def test_a_fixed_size_leaves_no_use_for_sides():
    preprocess = Preprocess(fixed_size=(300, 300))
    for name in ("min_size", "max_size", "train_sizes"):
        with pytest.raises(InvalidArgument, match=rf"{name} must be left alone with fixed_size \(300, 300\), got 64"):
            setattr(preprocess, name, 64)
    preprocess.fixed_size = None
    preprocess.min_size = 64


def test_there_is_no_attribute_of_the_wrong_name():
    with pytest.raises(AttributeError, match="Preprocess: there is no attribute min_sizes"):
        Preprocess().min_sizes = (64,)
