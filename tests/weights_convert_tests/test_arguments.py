"""What follows from shapes agrees with the arguments, and a builder's own rules hold, before anything is written."""

import json
import re

import numpy as np
import pytest

import weights_convert
from chainfpn import errors, models
from chainfpn._option_rules import OPTIONS, RULES
from weights_convert import known_models
from weights_convert.__main__ import main
from weights_convert.architectures.resnet import Trunk
from weights_convert.architectures.shapes import linear

NINE = [[16, 20, 24], [32, 40, 48], [64, 80, 96], [128, 160, 192], [256, 320, 384]]
SMALL = {"depth": 18, "fpn_channels": 32}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Write models of zeros, without a word about their arguments."""
    folder = tmp_path_factory.mktemp("arguments")
    cases = {
        "one": ("retinanet_resnet_fpn", {"n_fg_class": 1, "class_ids": [0]}),
        "three": ("retinanet_resnet_fpn", {"n_fg_class": 2}),
        "fcos": ("fcos_resnet_fpn", {"n_fg_class": 2}),
        "nine": ("fasterrcnn_resnet_fpn", {"n_fg_class": 1, "head_channels": 8, "anchor_sizes": NINE}),
        "faster": ("fasterrcnn_resnet_fpn", {"n_fg_class": 2, "head_channels": 8}),
        "group": ("fasterrcnn_resnet_fpn", {"n_fg_class": 2, "head_channels": 8, "norm": "group"}),
    }
    for name, (builder, arguments) in cases.items():
        shapes = known_models.build(builder, SMALL | arguments)
        np.savez_compressed(folder / f"{name}.npz", **{key: np.zeros(shape, "f4") for key, shape in shapes.items()})
    return folder


def convert(path, tmp_path, **meta):
    report = weights_convert.convert(path, tmp_path / "converted.npz", meta=meta)
    return models.load(tmp_path / "converted.npz"), report


def test_a_retinanet_of_one_class_has_its_label(checkpoints, tmp_path):
    model, report = convert(checkpoints / "one.npz", tmp_path)
    assert (model.n_fg_class, list(model.class_ids)) == (1, [0])
    assert report.notes == ["labels begin at 0: the weights have one class id"]
    model.score_thresh = 0.1
    _, (label,), (score,) = model.predict([np.zeros((3, 64, 64), "f4")])
    assert set(label) == {0}
    np.testing.assert_allclose(score, 0.5)  # a logit of zero


@pytest.mark.parametrize("name", ["three", "fcos"])
@pytest.mark.parametrize(
    ("meta", "n_fg_class", "class_ids", "why"),
    [
        (
            {},
            2,
            [1, 2],
            "taken for torchvision's, whose class id 0 is of no class; --meta labels_from=0 if 0 is a label",
        ),
        ({"labels_from": 1}, 2, [1, 2], "as asked for"),
        ({"labels_from": 0}, 3, [0, 1, 2], "as asked for"),
    ],
)
def test_where_labels_begin_is_told_and_can_be_said(checkpoints, tmp_path, name, meta, n_fg_class, class_ids, why):
    model, report = convert(checkpoints / f"{name}.npz", tmp_path, **meta)
    assert (model.n_fg_class, list(model.class_ids)) == (n_fg_class, class_ids)
    assert report.notes == [f"labels begin at {meta.get('labels_from', 1)}: {why}"]
    report = weights_convert.convert(tmp_path / "converted.npz", tmp_path / "again.npz")
    assert report.arguments.get("n_fg_class") == n_fg_class


@pytest.mark.parametrize(
    ("name", "meta", "sentence"),
    [
        ("one", {"labels_from": 1}, "n_fg_class must be a whole number >= 1, got 0; the weights have 1 class ids"),
        ("one", {"labels_from": 2}, "--meta labels_from must be 0 or 1, got 2"),
        ("faster", {"labels_from": 0}, "--meta labels_from is for torchvision's RetinaNet and FCOS"),
        ("faster", {"n_fg_class": 0}, "n_fg_class must be a whole number >= 1, got 0"),
        ("faster", {"n_fg_class": 5}, "n_fg_class = 5 does not go with the weights, which have 3 class ids"),
        ("faster", {"class_ids": [1, 7]}, "class_ids up to 7 does not go with the weights, which have 3 class ids"),
        ("faster", {"class_ids": [1]}, "class_ids must be n_fg_class = 2 whole numbers, got [1]"),
        ("faster", {"depth": 50}, "--meta depth must be what the weights say, 18, got 50"),
        ("faster", {"stages": [2, 3, 4]}, "--meta stages must be what the weights say, [1, 2, 3, 4], got [2, 3, 4]"),
        ("faster", {"min_size": -3}, "--meta min_size must be > 0 and <= max_size, got -3"),
        ("faster", {"min_size": "abc"}, "min_size must be"),
        ("faster", {"aspect_ratios": 7}, "--meta aspect_ratios must be numbers > 0, not empty, got 7"),
        ("faster", {"norm_eps": -1}, "--meta norm_eps must be a number >= 0, got -1"),
        ("faster", {"box_score_thresh": 2}, "--meta box_score_thresh must be in 0 to 1, got 2"),
        ("faster", {"anchor_sizes": [[32]]}, "anchor_sizes must have 5 entries"),
        ("faster", {"rpn_bg_iou_thresh": 0.8}, "--meta bg_iou_thresh must be <= fg_iou_thresh, got 0.8 and 0.7"),
        ("faster", {"image_std": [1, 1]}, "--meta image_std must be three numbers > 0, got"),
        ("faster", {"norm": "group"}, "--meta norm must go with the statistics in the weights, got 'group'"),
        ("group", {"norm": "batch"}, "--meta norm must go with the statistics in the weights, got 'batch'"),
        ("faster", {"label_names": "coco"}, "--meta label_names has 80 names, the model has 2 classes"),
        ("faster", {"label_names": "dogs"}, "--meta label_names must be coco, imagenet, voc or a list of names, got"),
        ("faster", {"label_names": [1, 2]}, "--meta label_names must be coco, imagenet, voc or a list of names, got"),
        ("faster", {"label_names": 800}, "--meta label_names must be coco, imagenet, voc or a list of names, got 800"),
        ("nine", {}, "the weights have 9 anchors a place, not 3; --meta anchor_sizes (a list per level) and"),
        ("nine", {"anchor_sizes": [[32]] * 5}, "the weights have 9 anchors a place, not 3"),
        ("three", {"aspect_ratios": [1.0]}, "the weights have 9 anchors a place, not 3"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_the_weights_is_not_written(checkpoints, tmp_path, monkeypatch, name, meta, sentence):
    monkeypatch.setattr(weights_convert.arguments, "build", lambda *args: None)  # as where Chainer is not installed
    with pytest.raises(weights_convert.CheckpointError, match=re.escape(sentence)):
        weights_convert.convert(checkpoints / f"{name}.npz", tmp_path / "x.npz", meta=meta)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("builder", "option", "value"),
    [
        ("fasterrcnn_resnet50_fpn", "min_size", -3),
        ("fasterrcnn_resnet50_fpn", "min_size", "abc"),
        ("fasterrcnn_resnet50_fpn", "min_size", 2000),
        ("fasterrcnn_resnet50_fpn", "max_size", 0),
        ("fasterrcnn_resnet50_fpn", "aspect_ratios", 7),
        ("fasterrcnn_resnet50_fpn", "norm_eps", -1),
        ("fasterrcnn_resnet50_fpn", "box_score_thresh", 2),
        ("fasterrcnn_resnet50_fpn", "anchor_sizes", [[32]]),
        ("fasterrcnn_resnet50_fpn", "anchor_sizes", [[0]] * 5),
        ("fasterrcnn_resnet50_fpn", "rpn_bg_iou_thresh", 0.9),
        ("fasterrcnn_resnet50_fpn", "image_mean", [0.5]),
        ("fasterrcnn_resnet50_fpn", "stride_in_1x1", 1),
        ("fasterrcnn_mobilenet_v3_large_fpn", "anchor_sizes", [[32] * 5] * 5),
        ("maskrcnn_resnet_fpn", "mask_layers", []),
        ("keypointrcnn_resnet50_fpn", "n_keypoint", 0),
        ("keypointrcnn_resnet50_fpn", "n_fg_class", 0),
        ("retinanet_resnet50_fpn", "detections_per_img", 0),
        ("fcos_resnet50_fpn", "aspect_ratios", [0.5, 1.0]),
        ("fcos_resnet50_fpn", "center_sampling_radius", 0),
        ("ssd300_vgg16", "iou_thresh", 1.5),
        ("ssdlite320_mobilenet_v3_large", "norm_eps", float("inf")),
        ("fpn50", "align_corners", "no"),
        ("retinanet_kuangliu", "image_size", 0),
        ("resnet_fpn_backbone", "extra_levels", "p6"),
        ("resnet18", "stride_in_1x1", "yes"),
        ("resnet18", "n_stages", 5),
        ("resnet18", "n_class", -1),
        ("mobilenet_v2", "dropout", 2),
        ("mobilenet_v2", "width_mult", 0),
    ],
)
def test_a_builder_and_the_converter_refuse_the_same_by_one_rule(builder, option, value):
    value = tuple(value) if isinstance(value, list) else value
    with pytest.raises(errors.InvalidArgument) as refused:
        models.get_model(builder, **{option: value})
    with pytest.raises(weights_convert.CheckpointError) as error:
        known_models.check_values(builder, {option: value})
    assert str(error.value) == f"--meta {refused.value.problem}"


def test_every_argument_has_a_rule():
    free = {"depth", "stages", "norm", "replace_stride_with_dilation"}  # checked by the options themselves
    for name in models.MODELS:
        for option in known_models.builder_arguments(name) - free:
            attribute = re.sub("^(rpn|box|image)_", "", option)
            assert option in OPTIONS or attribute in RULES, (name, option)


def test_nine_anchors_are_kept_with_their_sizes(checkpoints, tmp_path):
    model, report = convert(checkpoints / "nine.npz", tmp_path, anchor_sizes=NINE, box_detections_per_img=20)
    assert report.arguments["anchor_sizes"] == NINE
    assert [list(sizes) for sizes in model.rpn.anchor_generator.sizes] == NINE
    assert model.roi_heads.detections_per_img == 20


def test_a_trunk_with_group_normalization_needs_no_word(checkpoints, tmp_path):
    model, report = convert(checkpoints / "group.npz", tmp_path)
    assert report.arguments["norm"] == "group"
    assert type(model.backbone.body.bn1).__name__ == "GroupNormalization"


def test_a_part_without_labels_has_none(checkpoints, tmp_path):
    weights_convert.convert(checkpoints / "faster.npz", tmp_path / "named.npz", meta={"label_names": ["cat", "dog"]})
    weights_convert.convert(tmp_path / "named.npz", tmp_path / "whole.npz", meta={"min_size": 600})
    assert models.load(tmp_path / "whole.npz").label_names == ("cat", "dog")
    shapes = known_models.build("resnet_fpn_backbone", SMALL)
    np.savez(tmp_path / "pyramid.npz", **{key: np.zeros(shape, "f4") for key, shape in shapes.items()})
    with pytest.raises(weights_convert.CheckpointError, match="must be left out of resnet_fpn_backbone, which has no"):
        convert(tmp_path / "pyramid.npz", tmp_path, label_names=["cat", "dog"])
    meta = {"format": 1, "arguments": {}, "label_names": ["cat", "dog"]}
    with np.load(tmp_path / "pyramid.npz") as arrays:
        np.savez(tmp_path / "named.npz", **arrays, __meta__=json.dumps(meta))
    model, report = convert(tmp_path / "named.npz", tmp_path)
    assert (report.model, model.meta["model"]) == ("resnet_fpn_backbone", "resnet_fpn_backbone")


def test_what_is_assumed_is_told(checkpoints, tmp_path):
    _, report = convert(checkpoints / "faster.npz", tmp_path)
    assert report.assumed == ["min_size 800", "max_size 1333", "no label names"]
    assert report.to_text().splitlines()[-2] == "  assumed     min_size 800, max_size 1333, no label names"
    _, report = convert(checkpoints / "faster.npz", tmp_path, min_size=600, label_names=["a", "b"])
    assert report.assumed == ["max_size 1333"]


def test_settings_come_from_a_file(checkpoints, tmp_path):
    settings = {
        "box_score_thresh": 0.3,
        "rpn_nms_thresh": 0.6,
        "image_mean": [0, 0, 0],
        "bbox_reg_weights": [1, 1, 2, 2],
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert main([str(checkpoints / "faster.npz"), str(tmp_path / "x.npz"), "--meta", f"@{tmp_path}/settings.json"]) == 0
    model = models.load(tmp_path / "x.npz")
    assert (model.roi_heads.score_thresh, model.rpn.nms_thresh) == (0.3, 0.6)
    assert list(model.preprocess.mean) == [0, 0, 0]
    (tmp_path / "settings.json").write_text("[1]")
    with pytest.raises(weights_convert.CheckpointError, match=r"settings\.json: must hold a JSON object, got list"):
        weights_convert.parse_key_values([f"@{tmp_path}/settings.json"])
    with pytest.raises(weights_convert.CheckpointError, match="must be a JSON file that can be read"):
        weights_convert.parse_key_values(["@nowhere.json"])


def write_detectron2(path):
    """Write a ResNet-18 under detectron2's names."""
    shapes = Trunk("basic", (2, 2, 2, 2)).shapes() | linear("fc", 512, 5)
    names = {}
    for name in shapes:
        new = re.sub(r"^(?=conv1|bn1|fc)", "stem.", name)
        new = re.sub(r"^layer(\d)", lambda match: f"res{int(match[1]) + 1}", new)
        new = re.sub(r"\bbn(\d)", r"conv\1.norm", new).replace("downsample.0", "shortcut")
        names[name] = new.replace("downsample.1", "shortcut.norm")
    rng = np.random.default_rng(0)
    arrays = {names[name]: rng.standard_normal(shape, "f4") for name, shape in shapes.items()}
    np.savez(path, **arrays)
    return arrays


def test_a_basic_block_has_no_stride_in_a_1x1_and_the_input_is_the_users_word(tmp_path):
    arrays = write_detectron2(tmp_path / "d2.npz")
    stem = arrays["stem.conv1.weight"]
    model, report = convert(tmp_path / "d2.npz", tmp_path)
    assert (report.layout, report.model, report.arguments) == ("detectron2 (trunk)", "resnet18", {"n_class": 5})
    scale = 255 * np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(model.conv1.W.array, stem[:, ::-1] * scale, rtol=1e-6)
    model, report = convert(tmp_path / "d2.npz", tmp_path, input="torchvision")
    np.testing.assert_array_equal(model.conv1.W.array, stem)
    assert not any("BGR" in note for note in report.notes)
    model, _ = convert(tmp_path / "d2.npz", tmp_path, input="caffe")
    np.testing.assert_allclose(model.conv1.W.array, stem[:, ::-1] * scale, rtol=1e-6)
