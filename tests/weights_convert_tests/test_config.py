"""Configurations of detectron2 and mmdetection are data: read, never run, and nothing in them is believed blindly."""

import copy
import pickle

import chainer
import numpy as np
import pytest
import yaml

import weights_convert
from golden.compare import count_matched
from golden.model import GoldenModel
from weights_convert.config_files import parse_python, read_config
from weights_convert.config_settings import _DETECTRON2, _MMDETECTION, find_architecture, find_settings

MMDETECTION = """
import os  # what is imported is nothing
width = 2 * 32
_model = dict(backbone=dict(depth=50, style='caffe'), neck=dict(out_channels=width))
model = dict(
    type='FasterRCNN',
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    rpn_head=dict(anchor_generator=dict(scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64])),
    roi_head=dict(bbox_head=dict(bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]))),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=500, nms=dict(type='nms', iou_threshold=0.7)),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=50)),
    **_model)
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=os.environ),
    dict(type='Resize', scale=(360, 256), keep_ratio=True)]
evil = __import__('os').system('touch harmed')
"""

CAFFE = {
    "rules": "mmdetection_caffe",
    "image_mean": [103.53, 116.28, 123.675],
    "image_std": [1.0, 1.0, 1.0],
    "channel_order": "BGR",
    "min_size": 256,
    "max_size": 360,
    "anchor_sizes": [[32], [64], [128], [256], [512]],
    "aspect_ratios": [0.5, 1.0, 2.0],
    "bbox_reg_weights": [10.0, 10.0, 5.0, 5.0],
    "rpn_pre_nms_top_n_test": 1000,
    "rpn_post_nms_top_n_test": 500,
    "rpn_nms_thresh": 0.7,
    "box_score_thresh": 0.05,
    "box_nms_thresh": 0.5,
    "box_detections_per_img": 50,
}

DETECTRON2 = """
_BASE_: "base.yaml"
MODEL:
  WEIGHTS: "detectron2://somewhere"
  PIXEL_STD: [57.375, 57.12, 58.395]
  RESNETS: {STRIDE_IN_1X1: False}
  ANCHOR_GENERATOR:
    SIZES: !!python/object/apply:eval ["[[x, x * 2 ** (1.0 / 3)] for x in [32, 64]]"]
"""

BASE = """
INPUT:
  FORMAT: RGB
  MIN_SIZE_TEST: 256
MODEL:
  PIXEL_STD: [1.0, 1.0, 1.0]
  RPN: {POST_NMS_TOPK_TEST: 500, IOU_THRESHOLDS: "(0.3, 0.7)"}
  ROI_BOX_HEAD: {POOLER_TYPE: ROIAlign}
"""


#: What Python 3.10 would crash on.
DEEP = (
    "-" * 100_000 + "1",
    "1" + "+1" * 100_000,
    "f" + "(1,)" * 100_000,
    "lambda a, b=" * 1000 + "1",
    "(" * 90 + ")" * 90,
    "1\nif a: pass\n" + "elif a: pass\n" * 20_000,
)


def test_a_configuration_of_mmdetection_is_read_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.py").write_text(MMDETECTION)
    (tmp_path / "mine.py").write_text("_base_ = ['base.py']\nmodel = dict(test_cfg=dict(rcnn=dict(score_thr=0.3)))\n")
    assert find_settings(read_config("base.py")) == (CAFFE, [])
    assert find_settings(read_config("mine.py")) == (CAFFE | {"box_score_thresh": 0.3}, [])
    assert not (tmp_path / "harmed").exists()


def test_a_configuration_of_detectron2_is_read_with_its_base_and_not_run(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "mine.yaml").write_text(DETECTRON2)
    settings, others = find_settings(read_config(tmp_path / "mine.yaml"))
    assert settings == {
        "channel_order": "RGB",
        "min_size": 256,
        "image_std": [57.375, 57.12, 58.395],
        "stride_in_1x1": False,
        "rpn_post_nms_top_n_test": 500,
        "rpn_bg_iou_thresh": 0.3,
        "rpn_fg_iou_thresh": 0.7,
    }
    assert others == ["MODEL.ROI_BOX_HEAD.POOLER_TYPE is 'ROIAlign', computed as 'ROIAlignV2'"]


def test_what_only_running_would_tell_is_left_out():
    text = "a = f(1)\nb = [f(1), 2, 9 ** 9 ** 9]\nc = dict(d=a, e=-1, **dict(g=1))\nc.d = 3\nh = {'i': 1, 2: 3}\n"
    assert parse_python(f"{text}j = 'x' * 9") == {"b": [None, 2, None], "c": {"e": -1, "g": 1}, "h": {"i": 1}}


def test_one_stage_has_scales_of_octaves_and_a_cascade_several_coders():
    octaves = {"octave_base_scale": 4, "scales_per_octave": 3, "ratios": [1.0], "strides": [8, 16]}
    settings, _ = find_settings({"model": {"bbox_head": {"anchor_generator": octaves}}})
    assert settings["anchor_sizes"] == [[32 * 2**level * 2 ** (i / 3) for i in range(3)] for level in range(2)]
    heads = [{"bbox_coder": {"target_stds": [std, std, 2 * std, 2 * std]}} for std in (0.1, 0.05)]
    settings, _ = find_settings({"model": {"roi_head": {"bbox_head": heads}}})
    assert settings["cascade_bbox_reg_weights"] == [[10, 10, 5, 5], [20, 20, 10, 10]]


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, [[1]], {"x": 1}, [{}], [0, 0]])
def test_values_of_another_kind_are_left_out(value):
    """Whatever stands in a configuration, in place of any part of it, does not end in an error."""
    for table, whole in ((_DETECTRON2, yaml.safe_load(BASE)), (_MMDETECTION, parse_python(MMDETECTION))):
        for path in [*table, "model", "MODEL", "model.data_preprocessor", "test_pipeline", "model.rpn_head",
                     "model.rpn_head.anchor_generator", "model.rpn_head.anchor_generator.strides",
                     "model.roi_head.bbox_head", "model.roi_head.bbox_head.bbox_coder.target_stds"]:  # fmt: skip
            config, (*parents, last) = copy.deepcopy(whole), path.split(".")
            inside = config
            for key in parents:
                inside = inside.setdefault(key, {}) if isinstance(inside, dict) else {}
            if isinstance(inside, dict):
                inside[last] = value
            settings, others = find_settings(config)
            assert isinstance(settings, dict)
            assert all(isinstance(sentence, str) for sentence in others)


def test_the_first_versions_have_words_of_their_own_beside_the_model():
    text = "test_cfg = dict(rpn=dict(nms_pre=900, max_num=300, nms_thr=0.6), rcnn=dict(nms=dict(iou_thr=0.4)))"
    expected = {"rpn_pre_nms_top_n_test": 900, "rpn_post_nms_top_n_test": 300, "rpn_nms_thresh": 0.6}
    assert find_settings(parse_python(text)) == (expected | {"box_nms_thresh": 0.4}, [])


def test_what_our_builders_do_otherwise_is_named():
    config = parse_python("model = dict(test_cfg=dict(nms=dict(type='soft_nms', iou_threshold=0.3)))")
    assert find_settings(config) == ({"nms_thresh": 0.3}, ["model.test_cfg.nms.type is 'soft_nms', computed as 'nms'"])


def test_one_list_of_sizes_is_of_all_levels_and_other_anchors_are_named():
    given = {"SIZES": [[32, 64]], "ASPECT_RATIOS": [[0.5, 2.0], [0.5, 2.0]]}
    model = {"ANCHOR_GENERATOR": given, "RETINANET": {"BBOX_REG_WEIGHTS": [1.0, 1.0, 1.0, 1.0]}}
    assert find_settings({"MODEL": model}) == ({"anchor_sizes": [[32, 64]] * 5, "aspect_ratios": [0.5, 2.0]}, [])
    given |= {"SIZES": [[32], [64]], "ASPECT_RATIOS": [[0.5], [2.0]]}
    model["RETINANET"] = {"BBOX_REG_WEIGHTS": [2, 2, 1, 1]}
    settings, others = find_settings({"MODEL": model})
    assert settings == {}
    assert others == [
        "MODEL.RETINANET.BBOX_REG_WEIGHTS is [2, 2, 1, 1], computed as [1, 1, 1, 1]",
        "MODEL.ANCHOR_GENERATOR.SIZES is [[32], [64]], not a list for each of 5 levels: not taken",
        "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS is [[0.5], [2.0]], not one list for all levels: not taken",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a = = 1", "must be a .yaml of detectron2 or a .py of mmdetection"),
        ("_base_ = 'none.py'", "none.py: cannot be read: No such file or directory"),
        ("_base_ = 'mine.py'", "is based on more than 8 others, one after the other"),
        ("a = (", "must be a .yaml of detectron2 or a .py of mmdetection"),
        *((f"a = {deep}", "must be a .yaml of detectron2 or a .py of mmdetection") for deep in DEEP),
        ("_base_ = 3", "3: cannot be read: No such file or directory"),
        ("_base_ = 'a\\0.py'", "cannot be read: embedded null byte"),
        ("_base_ = '/dev/zero'", "/dev/zero: is a device, not a configuration"),
        ("a = 1" + " " * (1 << 18), "must be a .yaml of detectron2 or a .py of mmdetection"),
    ],
)
def test_a_bad_configuration_is_one_sentence(text, sentence, tmp_path):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(weights_convert.CheckpointError, match=sentence):
        read_config(tmp_path / "mine.py")


#: A yaml of nine lists of ten others each, and others that Python's own conversions have no end of, or no answer to.
LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))


@pytest.mark.parametrize("text", [LAUGHS, "a: &a [*a]", "a: &a {b: *a}", "a: !!bool x", "a: 1" + ":59" * 300 + ".5"])
def test_a_yaml_without_end_is_one_sentence(text, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(weights_convert.CheckpointError, match=r"must be a \.yaml of detectron2"):
        read_config(tmp_path / "mine.yaml")


def test_a_yaml_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    (tmp_path / "mine.yaml").write_text(BASE)
    with pytest.raises(weights_convert.CheckpointError, match=r"needs PyYAML; pip install 'chainfpn\[yaml\]'"):
        read_config(tmp_path / "mine.yaml")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Write a slim Faster R-CNN under mmdetection's names, with its configuration in it."""
    from chainfpn import models, save_weights

    folder = tmp_path_factory.mktemp("config")
    slim = {"fpn_channels": 8, "head_channels": 8, "rules": "mmdetection"}
    save_weights(folder / "ours.npz", models.fasterrcnn_resnet_fpn(18, 2, **slim), dtype="float16")
    weights_convert.convert(folder / "ours.npz", folder / "plain.pth")
    state = weights_convert.read_checkpoint(folder / "plain.pth")
    with open(folder / "epoch_1.pth", "wb") as f:
        pickle.dump({"meta": {"cfg": MMDETECTION, "CLASSES": ("cat", "dog")}, "state_dict": state}, f)
    return folder


def test_the_configuration_in_a_checkpoint_says_what_names_cannot(checkpoint):
    _, meta, report = weights_convert.convert_arrays(checkpoint / "epoch_1.pth")
    own = {"n_fg_class": 2, "depth": 18, "fpn_channels": 8, "head_channels": 8}
    assert meta["arguments"] == CAFFE | own
    assert meta["label_names"] == ["cat", "dog"]
    assert any(note.startswith("from the configuration in the file: anchor_sizes, ") for note in report.notes)
    assert report.assumed == []


def test_a_configuration_that_is_given_is_before_the_one_inside_and_the_user_before_both(checkpoint):
    (checkpoint / "mine.py").write_text("model = dict(test_cfg=dict(rcnn=dict(score_thr=0.2, max_per_img=7)))")
    _, meta, report = weights_convert.convert_arrays(
        checkpoint / "epoch_1.pth", config=checkpoint / "mine.py", meta={"box_score_thresh": 0.5}
    )
    assert meta["arguments"]["rules"] == "mmdetection"
    assert meta["arguments"]["box_detections_per_img"] == 7
    assert meta["arguments"]["box_score_thresh"] == 0.5
    assert "min_size 800" in report.assumed


def test_a_configuration_of_the_other_framework_is_refused(checkpoint):
    (checkpoint / "other.yaml").write_text(BASE)
    with pytest.raises(weights_convert.CheckpointError, match="is no configuration of mmdetection, whose names the"):
        weights_convert.inspect(checkpoint / "epoch_1.pth", config=checkpoint / "other.yaml")


def test_a_configuration_that_says_nothing_is_named(checkpoint):
    (checkpoint / "new.py").write_text("with read_base():\n    from .base import *\nmodel.update(dict())\n")
    report = weights_convert.inspect(checkpoint / "epoch_1.pth", config=checkpoint / "new.py")
    assert f"from --config {checkpoint / 'new.py'}: nothing is known here" in report.notes
    assert any(note.startswith("taken as 'pytorch' style") for note in report.notes)


FASTER = {"META_ARCHITECTURE": "GeneralizedRCNN"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"MODEL": FASTER}, ("fasterrcnn", None)),
        ({"MODEL": FASTER | {"MASK_ON": False, "KEYPOINT_ON": True}}, ("keypointrcnn", None)),
        ({"MODEL": FASTER | {"MASK_ON": True, "RESNETS": {"DEPTH": 101}}}, ("maskrcnn", 101)),
        ({"MODEL": FASTER | {"ROI_HEADS": {"NAME": "CascadeROIHeads"}}}, ("cascade_rcnn", None)),
        ({"MODEL": FASTER | {"ROI_HEADS": {"NAME": "CascadeROIHeads"}, "MASK_ON": True}}, ("cascade_mask_rcnn", None)),
        ({"MODEL": {"META_ARCHITECTURE": "RetinaNet", "MASK_ON": False}}, ("retinanet", None)),
        ({"MODEL": {"BACKBONE": {"NAME": "build_regnet_fpn_backbone"}, "RESNETS": {"DEPTH": 50}}}, ("", None)),
        ({"model": {"type": "MyDetector", "backbone": {"type": "ResNeXt", "depth": 101}}}, ("", 101)),
        ({"model": {"type": "CascadeRCNN", "roi_head": {"bbox_head": []}}}, ("cascade_rcnn", None)),
        ({"model": {"type": "CascadeRCNN", "roi_head": {"mask_head": {"type": "FCN"}}}}, ("cascade_mask_rcnn", None)),
        ({"model": {"type": "FCOS", "backbone": {"depth": "50"}}}, ("fcos", None)),
        ({"MODEL": [], "model": "FCOS"}, ("", None)),
    ],
)
def test_a_configuration_says_which_detector_it_is_of(config, expected):
    assert find_architecture(config) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("dict(type='MaskRCNN')", "is of maskrcnn, the weights are of fasterrcnn_resnet_fpn"),
        ("dict(type='RetinaNet')", "is of retinanet, the weights are of fasterrcnn_resnet_fpn"),
        ("dict(type='FasterRCNN', backbone=dict(depth=50))", "is of a ResNet-50, the weights are of a ResNet-18"),
        ("dict(type='FasterRCNN', backbone=dict(depth=18))", None),
    ],
)
def test_a_configuration_of_another_detector_or_trunk_is_refused(checkpoint, text, sentence):
    path = checkpoint / "given.py"
    path.write_text(f"model = {text}")
    if sentence is None:
        assert weights_convert.inspect(checkpoint / "epoch_1.pth", config=path).model == "fasterrcnn_resnet_fpn"
        return
    with pytest.raises(weights_convert.CheckpointError) as caught:
        weights_convert.inspect(checkpoint / "epoch_1.pth", config=path)
    assert str(caught.value) == f"epoch_1.pth: --config {path}: {sentence}"


def test_rules_of_another_framework_are_refused_and_what_is_told_is_not_said_to_be_assumed(checkpoint):
    path = checkpoint / "plain.pth"
    sentence = "must be one of mmdetection, mmdetection_caffe, torchvision, chainercv for the names of mmdetection, got"
    with pytest.raises(weights_convert.CheckpointError, match=f"--meta rules {sentence} 'detectron2'"):
        weights_convert.convert_arrays(path, meta={"rules": "detectron2"})
    for told, kind in (
        ({}, "mmdetection"),
        ({"input": "torchvision"}, "mmdetection"),
        ({"input": "caffe"}, "mmdetection_caffe"),
    ):
        _, meta, report = weights_convert.convert_arrays(path, meta=told)
        assert meta["arguments"]["rules"] == kind
        assert any(note.startswith("taken as 'pytorch' style") for note in report.notes) == (not told)


def test_an_input_is_refused_where_the_file_says_whose_it_is(checkpoint):
    with pytest.raises(weights_convert.CheckpointError, match="input must be left out of a file that says rules 'mmd"):
        weights_convert.convert_arrays(checkpoint / "ours.npz", meta={"input": "caffe"})


def test_a_converted_file_is_built_as_its_configuration_says(checkpoint):
    from chainfpn import models

    weights_convert.convert(checkpoint / "epoch_1.pth", checkpoint / "built.npz", force=True)
    detector = models.load(checkpoint / "built.npz")
    assert detector.label_names == ("cat", "dog")
    assert (detector.preprocess.min_size, detector.preprocess.channel_order) == (256, "BGR")
    assert detector.roi_heads.detections_per_img == 50
    np.testing.assert_allclose(detector.preprocess.mean, CAFFE["image_mean"])


def test_the_boxes_of_mmdetection_come_from_its_checkpoint_and_its_configuration_alone(tmp_path):
    from chainfpn import models

    model = GoldenModel("mmdetection/small_retinanet_r18_fpn")
    given = {**model.config, "data_preprocessor": model.config["input"]}
    (tmp_path / "a.py").write_text(f"model = {given!r}\ntest_pipeline = {model.config['input']['test_pipeline']!r}\n")
    weights_convert.convert(model.write(tmp_path), tmp_path / "a.npz", config=tmp_path / "a.py")
    detector, photo = models.load(tmp_path / "a.npz"), model.photos[0]
    with chainer.using_config("train", False):
        (found,) = detector.detect([model.image(photo)])
    assert count_matched(model, photo, found) == model.facts[photo]["n_detections"]


def test_what_other_heads_of_fcos_compute_is_named():
    config = parse_python("model = dict(bbox_head=dict(type='FCOSHead', norm_on_bbox=True, centerness_on_reg=False))")
    assert find_settings(config) == ({}, ["model.bbox_head.norm_on_bbox is True, computed as False"])
