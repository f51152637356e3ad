"""Models of detectron2 and mmdetection: every name finds its place and the way back, whatever stands beside them."""

import json
import pickle
import re

import numpy as np
import pytest
from chainer import serializers

import weights_convert
from golden.model import HERE, GoldenModel
from golden.model import names as golden_names
from reference.arrays import assert_same_arrays
from weights_convert import param_names
from weights_convert.architectures import candidates
from weights_convert.config_settings import find_settings
from weights_convert.layouts import complete_names, find_layout, find_own_names
from weights_convert.read.tensor import from_array
from weights_convert.report import Report
from weights_convert_tests.repeated import described

BUILDERS = {
    "faster": "fasterrcnn_resnet_fpn",
    "mask": "maskrcnn_resnet_fpn",
    "keypoint": "keypointrcnn_resnet_fpn",
    "cascade": "cascade_mask_rcnn_resnet_fpn",
    "retinanet": "retinanet_resnet_fpn",
    "fcos": "fcos_resnet_fpn",
}

#: Arguments that no golden model has: everything else is said by shapes.
OWN = {
    "detectron2": {"rules": "detectron2"},
    "mmdetection": {"rules": "mmdetection"},
}


def shapes_of(name):
    entries = json.loads((HERE / name / "names_shapes.json").read_text())
    return {key: tuple(entry["shape"]) for key, entry in entries.items()}


def save(path, shapes, *, drawn=False, **beside):
    """Write a .pkl of halves, zeros unless they are to be drawn, and return its arrays."""
    rng = np.random.default_rng(0)
    arrays = {name: np.zeros(shape, "f2") for name, shape in shapes.items()}
    for name, array in arrays.items() if drawn else ():
        arrays[name] = np.frombuffer(rng.bytes(array.nbytes), "<f2").reshape(array.shape)
    arrays |= {name: np.zeros((), "i8") for name in shapes if name.endswith("num_batches_tracked")}
    with open(path, "wb") as f:
        pickle.dump(beside | {"model": arrays}, f, 2)
    return arrays


@pytest.mark.parametrize("name", golden_names())
def test_every_name_of_a_framework_is_recognized_and_finds_the_way_back(name):
    shapes, report = shapes_of(name), Report("file")
    layout = find_layout(shapes).under({})
    tensors = layout.apply(described(shapes), report)
    candidate = candidates({key: tensor.shape for key, tensor in tensors.items()})[0]
    kind = name.partition("/small_")[2].replace("-", "_").partition("_")[0]
    assert candidate.builder == BUILDERS[kind]
    assert candidate.compare({key: tensor.shape for key, tensor in tensors.items()}) == ([], [], {})
    assert OWN[name.partition("/")[0]].items() <= layout.arguments.items()
    own, names = find_own_names(layout.arguments["rules"], tensors)
    for undo in own.undo:
        tensors = undo(tensors, report)
    assert {names[key]: tensor.shape for key, tensor in tensors.items()} == shapes


@pytest.mark.parametrize("ending", ["pth", "pkl"])
@pytest.mark.parametrize("name", ["detectron2/small_cascade_mask_rcnn_R_18_FPN", "mmdetection/small_mask-rcnn_r18_fpn"])
def test_what_comes_back_is_what_was_converted_bit_for_bit(name, ending, tmp_path):
    arrays = save(tmp_path / "theirs.pkl", shapes_of(name), drawn=True, __author__="somebody")
    weights_convert.convert(tmp_path / "theirs.pkl", tmp_path / "ours.npz")
    report = weights_convert.convert(tmp_path / "ours.npz", tmp_path / f"back.{ending}", check=True)
    assert any("written with the names of" in note for note in report.notes)
    back = weights_convert.read_checkpoint(tmp_path / f"back.{ending}")
    assert back.keys() == arrays.keys()
    for key, array in arrays.items():
        assert (back[key].dtype, back[key].shape) == (array.dtype, array.shape)
        assert back[key].tobytes() == array.tobytes(), key


def test_a_pkl_is_what_detectron2_reads(tmp_path):
    arrays = {"fc.weight": np.arange(6, dtype="f4").reshape(2, 3), "fc.bias": np.zeros(2, "f2"), "n": np.int64(7)}
    np.savez(tmp_path / "a.npz", **{name.replace(".", "/"): array for name, array in arrays.items()})
    weights_convert.convert(tmp_path / "a.npz", tmp_path / "a.pkl", model="any")
    with open(tmp_path / "a.pkl", "rb") as f:
        loaded = pickle.load(f, encoding="latin1")
    assert loaded["__author__"] == "chainfpn"
    assert_same_arrays(loaded["model"], arrays)


def test_a_resnext_of_detectron2_has_its_std_and_its_stride(tmp_path):
    shapes = shapes_of("detectron2/small_faster_rcnn_X_50_32x4d_FPN")
    save(tmp_path / "x.pkl", shapes, __author__="somebody")
    report = weights_convert.inspect(tmp_path / "x.pkl")
    assert report.arguments["image_std"] == [57.375, 57.12, 58.395]
    assert "stride_in_1x1" not in report.arguments  # which the rules put into the 3x3 of a ResNeXt


def test_a_std_that_is_asked_for_is_taken(tmp_path):
    save(tmp_path / "a.pkl", shapes_of("detectron2/small_retinanet_R_18_FPN"), __author__="somebody")
    _, meta, _ = weights_convert.convert_arrays(tmp_path / "a.pkl", meta={"image_std": [1, 2, 3]})
    assert meta["arguments"]["image_std"] == [1, 2, 3]


def test_90_classes_are_90_labels_without_a_gap(tmp_path):
    shapes = shapes_of("detectron2/small_faster_rcnn_R_18_FPN")
    shapes |= {f"roi_heads.box_predictor.cls_score.{leaf}": s for leaf, s in (("weight", (91, 128)), ("bias", (91,)))}
    shapes |= {f"roi_heads.box_predictor.bbox_pred.{leaf}": s for leaf, s in (("weight", (360, 128)), ("bias", (360,)))}
    save(tmp_path / "a.pkl", shapes, __author__="somebody")
    weights_convert.convert(tmp_path / "a.pkl", tmp_path / "a.npz")
    for path in (tmp_path / "a.pkl", tmp_path / "a.npz"):
        _, meta, _ = weights_convert.convert_arrays(path)
        assert meta["arguments"]["n_fg_class"] == 90
        assert "class_ids" not in meta["arguments"]


@pytest.mark.parametrize(
    ("wanted", "arguments"),
    [
        ({"input": "caffe"}, {"rules": "mmdetection_caffe"}),
        ({"rules": "mmdetection_caffe"}, {"rules": "mmdetection_caffe"}),
        ({"input": "torchvision"}, {"rules": "mmdetection"}),
        ({"rules": "torchvision"}, {}),
        ({"rules": "torchvision", "input": "caffe"}, {"stride_in_1x1": True}),
    ],
)
def test_style_and_rules_are_asked_for(wanted, arguments):
    layout = find_layout(shapes_of("mmdetection/small_faster-rcnn_r50-caffe_fpn")).under(wanted)
    assert layout.arguments == arguments
    assert layout.caffe_input == ("stride_in_1x1" in arguments)


def test_the_input_of_torchvision_is_taken_by_detectron2_too():
    layout = find_layout(shapes_of("detectron2/small_faster_rcnn_R_18_FPN")).under({"input": "torchvision"})
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    expected = {"rules": "detectron2", "channel_order": "RGB", "image_mean": mean, "image_std": std}
    assert (layout.arguments, layout.caffe_input) == (expected | {"stride_in_1x1": False}, False)


def test_what_no_file_says_is_a_sentence(tmp_path):
    save(tmp_path / "a.pkl", shapes_of("detectron2/small_retinanet_R_18_FPN"), __author__="somebody")
    report = weights_convert.inspect(tmp_path / "a.pkl")
    assert report.notes[1].startswith(
        "taken for one of Caffe's input (BGR, stride in the 1x1), as the zoo has it but for"
    )
    with open(tmp_path / "old.pkl", "wb") as f:
        arrays = {
            name: np.zeros(shape, "f2") for name, shape in shapes_of("mmdetection/small_retinanet_r18_fpn").items()
        }
        pickle.dump({"meta": {"mmdet_version": "1.2.0+abc"}, "state_dict": arrays}, f)
    report = weights_convert.inspect(tmp_path / "old.pkl")
    assert (
        "made by mmdetection 1.x, which rounds anchors and counts the last pixel: boxes move a little" in report.notes
    )


def test_a_trunk_of_torchvision_keeps_its_input_under_rules_with_caffes(tmp_path):
    from chainfpn import models, save_weights

    save_weights(tmp_path / "trunk.npz", models.resnet18(n_class=0))
    slim = {"stages": (3,), "fpn_channels": 8, "head_channels": 8, "min_size": 64}
    slim["pretrained_backbone"] = tmp_path / "trunk.npz"
    img = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype("f4")
    batches = {}
    for rules in ("torchvision", "detectron2", "mmdetection_caffe"):
        detector = models.fasterrcnn_resnet_fpn(18, 2, rules=rules, **slim)
        batches[rules] = detector.prepare([img])[0]
    np.testing.assert_allclose(batches["detectron2"], batches["torchvision"], atol=1e-5)
    np.testing.assert_array_equal(batches["detectron2"], batches["mmdetection_caffe"])
    caffe = models.fasterrcnn_resnet_fpn(18, 2, rules="detectron2", channel_order="BGR", **slim)
    assert caffe.preprocess.std == (1, 1, 1)
    detector = models.fasterrcnn_resnet_fpn(18, 2, rules="detectron2", **slim)
    save_weights(tmp_path / "tuned.npz", detector)
    report = weights_convert.convert(tmp_path / "tuned.npz", tmp_path / "tuned.pkl")
    sentence = (
        "its configuration has to say: INPUT.FORMAT 'RGB', INPUT.MIN_SIZE_TEST 64, MODEL.PIXEL_MEAN [123.675, 116.28, "
        "103.53], MODEL.PIXEL_STD [58.395, 57.12, 57.375], MODEL.RESNETS.STRIDE_IN_1X1 False"
    )
    assert report.notes[-1] == sentence


def test_a_trainers_snapshot_goes_back_under_the_rules_that_are_asked_for(tmp_path):
    from chainfpn import models, save_weights

    detector = models.fasterrcnn_resnet_fpn(18, 2, rules="detectron2", fpn_channels=8, head_channels=8)
    serializers.save_npz(tmp_path / "bare.npz", detector)
    weights_convert.convert(tmp_path / "bare.npz", tmp_path / "bare.pkl", meta={"rules": "detectron2"})
    save_weights(tmp_path / "known.npz", detector)
    weights_convert.convert(tmp_path / "known.npz", tmp_path / "known.pkl")
    assert (tmp_path / "bare.pkl").read_bytes() == (tmp_path / "known.pkl").read_bytes()
    back = weights_convert.read_checkpoint(tmp_path / "bare.pkl")
    assert back["roi_heads.box_predictor.bbox_pred.bias"].shape == (8,)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["backbone.stem.conv1", "roi_heads.res5.0.conv1"], "is detectron2's C4, whose last stage runs on pooled"),
        (["backbone.stem.conv1", "proposal_generator.rpn_head.conv"], "is detectron2's DC5, whose last stage is dilat"),
    ],
)
def test_what_has_no_pyramid_is_named(names, sentence, tmp_path):
    save(tmp_path / "a.pkl", {f"{name}.weight": (2, 2, 1, 1) for name in names}, __author__="somebody")
    with pytest.raises(weights_convert.CheckpointError, match=sentence):
        weights_convert.inspect(tmp_path / "a.pkl")


def test_class_names_and_averaged_twins_stand_beside_the_weights_of_mmdetection(tmp_path):
    shapes = shapes_of("mmdetection/small_faster-rcnn_r18_fpn")
    arrays = save(tmp_path / "a.pkl", shapes)
    twins = {f"ema_{name.replace('.', '_')}": array for name, array in arrays.items()}
    labels = tuple("abcdefghij")
    with open(tmp_path / "a.pkl", "wb") as f:
        pickle.dump({"meta": {"dataset_meta": {"CLASSES": labels}}, "state_dict": {**arrays, **twins}}, f)
    _, meta, report = weights_convert.convert_arrays(tmp_path / "a.pkl")
    assert meta["label_names"] == list(labels)
    assert report.dropped.keys() >= twins.keys()
    assert meta["arguments"]["rules"] == "mmdetection"
    assert any("taken as 'pytorch' style" in note for note in report.notes)


def test_norms_without_statistics_are_folded_unless_they_are_said_to_be_of_groups():
    shapes = shapes_of("detectron2/small_retinanet_R_18_FPN")
    bare = {name: shape for name, shape in shapes.items() if "running" not in name}
    report = Report("file")
    layout = find_layout(bare)
    filled = layout.under({}).apply(described(bare), report)
    assert {name: tensor.shape for name, tensor in filled.items()} == {
        name: tensor.shape for name, tensor in layout.under({}).apply(described(shapes), Report("file")).items()
    }
    assert report.notes[0].startswith(
        "20 norms have no statistics, as Caffe2 folds them: mean 0 and variance 1 - 1e-5 ad"
    )
    group = layout.under({"norm": "group"}).apply(described(bare), Report("file"))
    assert candidates({name: tensor.shape for name, tensor in group.items()})[0].arguments["norm"] == "group"
    assert find_settings({"MODEL": {"RESNETS": {"NORM": "GN"}}})[0] == {"norm": "group"}


def test_a_model_that_its_framework_does_not_have_keeps_torchvisions_names():
    assert find_own_names("detectron2", ["roi_heads.box_head.0.0.weight"]) is None
    assert find_own_names("torchvision", ["rpn.head.conv.weight"]) is None


def test_the_weights_are_those_of_the_file_but_for_the_background():
    model = GoldenModel("detectron2/small_mask_rcnn_R_18_FPN")
    shapes = {name: entry for name, entry in shapes_of(model.name).items() if "predictor" in name or "stem" in name}
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    layout = find_layout(shapes_of(model.name)).under({})
    tensors = layout.apply({name: from_array(array) for name, array in arrays.items()}, Report("file"))
    found = {param_names.to_torch(name): tensor.array() for name, tensor in tensors.items()}
    np.testing.assert_array_equal(found["backbone.body.conv1.weight"], arrays["backbone.bottom_up.stem.conv1.weight"])
    scores = arrays["roi_heads.box_predictor.cls_score.weight"]
    np.testing.assert_array_equal(found["roi_heads.box_predictor.cls_score.weight"], np.roll(scores, 1, axis=0))
    boxes = found["roi_heads.box_predictor.bbox_pred.weight"]
    assert not boxes[:4].any()
    np.testing.assert_array_equal(boxes[4:], arrays["roi_heads.box_predictor.bbox_pred.weight"])


@pytest.mark.parametrize(
    "name", ["small_mask_rcnn_R_18_FPN", "small_cascade_mask_rcnn_R_18_FPN", "small_retinanet_R_18_FPN"]
)
def test_names_are_matched_by_how_they_end_where_the_file_says_so(name):
    full = shapes_of(f"detectron2/{name}")
    short = [re.sub(r"^(backbone\.(bottom_up\.)?|proposal_generator\.|roi_heads\.)", "", key) for key in full]
    assert complete_names(short) == dict(zip(short, full, strict=True))
    assert complete_names(full) == {key: key for key in full}
    assert complete_names([*short, "conv1.weight"])["conv1.weight"] == "conv1.weight"  # of which there are many
    trunk = [key for key in short if key.startswith(("res", "stem"))]
    assert complete_names(trunk) == {key: key for key in trunk}


def test_caffe2s_names_lead_to_a_detector_under_detectron2s_rules():
    """The blobs have the background first, as torchvision; their norms are folded, and momenta stand beside them."""
    theirs = {
        "conv1_w": (64, 3, 7, 7),
        "conv1_b": (64,),
        "conv1_w_momentum": (64, 3, 7, 7),
        "conv_rpn_fpn2_w": (8, 8, 3, 3),
        "res_conv1_bn_s": (64,),
        "res_conv1_bn_b": (64,),
        "res2_0_branch1_w": (256, 64, 1, 1),
        "res2_0_branch1_bn_s": (256,),
        "res3_1_branch2a_w": (128, 512, 1, 1),
        "res2_0_branch2a_w": (64, 64, 1, 1),
        "res5_2_branch2c_bn_b": (2048,),
        "fpn_inner_res5_2_sum_w": (8, 2048, 1, 1),
        "fpn_inner_res4_5_sum_lateral_b": (8,),
        "fpn_res3_3_sum_w": (8, 8, 3, 3),
        "rpn_cls_logits_fpn2_b": (3,),
        "rpn_bbox_pred_fpn2_b": (12,),
        "fc6_w": (16, 392),
        "cls_score_b": (3,),
        "bbox_pred_b": (12,),
        "_[mask]_fcn2_w": (8, 8, 3, 3),
        "mask_fcn_logits_b": (3,),
        "conv_fcn3_b": (8,),
        "kps_score_lowres_w": (8, 17, 4, 4),
    }
    layout, report = find_layout(theirs).under({}), Report("file")
    assert (layout.name, layout.arguments) == ("Caffe2 (Detectron)", {"rules": "detectron2"})
    tensors = layout.apply(described(theirs), report)
    body, heads = "backbone.body.", "roi_heads."
    assert tensors.keys() == {
        f"{body}conv1.weight", f"{body}layer1.0.downsample.0.weight", f"{body}layer2.1.conv1.weight",
        f"{body}layer1.0.conv1.weight", f"{body}layer4.2.bn3.bias", "backbone.fpn.inner_blocks.3.weight",
        "backbone.fpn.inner_blocks.2.bias", "backbone.fpn.layer_blocks.1.weight", "rpn.head.conv.weight",
        "rpn.head.cls_logits.bias", "rpn.head.bbox_pred.bias", f"{heads}box_head.fc6.weight",
        f"{heads}box_predictor.cls_score.bias", f"{heads}box_predictor.bbox_pred.bias",
        f"{heads}mask_head.mask_fcn2.weight", f"{heads}mask_predictor.mask_fcn_logits.bias",
        f"{heads}keypoint_head.4.bias", f"{heads}keypoint_predictor.kps_score_lowres.weight",
        *(f"{body}bn1.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")),
        *(f"{body}layer1.0.downsample.1.{leaf}" for leaf in ("weight", "running_mean", "running_var")),
    }  # fmt: skip
    np.testing.assert_array_equal(tensors[f"{body}bn1.running_mean"].array(), np.zeros(64, "f4"))
    np.testing.assert_array_equal(tensors[f"{body}bn1.running_var"].array(), np.full(64, 1 - 1e-5, "f4"))
    assert report.dropped == {
        "conv1_b": "detectron2 has no such bias, and does not read it",
        "conv1_w_momentum": "momentum of Caffe2's training",
    }
