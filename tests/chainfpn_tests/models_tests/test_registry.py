"""The registry: one record per model, builders that are plain functions, and models that survive being saved."""

import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest

from chainfpn import WeightsError, errors, models, save_weights
from chainfpn.data import weights_path
from chainfpn.models.registry import MODELS
from reference.arrays import saved
from reference.classifier_answers import marked, without_initial_values

#: Unusual arguments of a builder, by the family of its record.
UNUSUAL = {
    "alexnet": {"n_class": 5, "dropout": 0.1},
    "vgg": {"n_class": 5, "dropout": 0.1},
    "resnet": {"n_class": 5, "replace_stride_with_dilation": (False, False, True), "stride_in_1x1": False},
    "densenet": {"n_class": 5, "drop_rate": 0.1},
    "squeezenet": {"n_class": 5, "dropout": 0.1},
    "googlenet": {"n_class": 5, "aux_logits": False, "transform_input": True},
    "inception": {"n_class": 5, "aux_logits": False, "transform_input": True},
    "mobilenet": {"n_class": 5, "width_mult": 0.5},
    "regnet": {"n_class": 5},
    "swin_transformer": {"n_class": 5, "stochastic_depth_prob": 0.1},
    "convnext": {"n_class": 5, "stochastic_depth_prob": 0.2},
    "efficientnet": {"n_class": 5, "dropout": 0.1, "stochastic_depth_prob": 0.1},
    "kuangliu_fpn": {"align_corners": True},
    "fpn_backbone": {"depth": 18, "stages": (2, 3), "fpn_channels": 32, "norm": "group", "extra_levels": "p6p7"},
    "kuangliu_retinanet": {"n_fg_class": 3, "label_names": ("a", "b", "c"), "image_size": 64},
    "ssd": {"n_fg_class": 2, "class_ids": (2, 5), "topk_candidates": 7, "image_mean": (0.5, 0.5, 0.5)},
}
PYRAMID = {"n_fg_class": 2, "class_ids": (2, 5), "label_names": ("cat", "dog"), "min_size": 48, "max_size": 64}
CASCADE = {"cascade_iou_thresh": (0.4, 0.5), "stage_loss_weights": (1, 1), "average_logits": True}
CASCADE["cascade_bbox_reg_weights"] = ((1.0, 2.0, 3.0, 4.0),) * 2
UNUSUAL["cascade_rcnn"] = {**PYRAMID, **CASCADE, "box_score_thresh": 0.3, "rpn_nms_thresh": 0.6}
RCNN = {**PYRAMID, "box_score_thresh": 0.3, "rpn_nms_thresh": 0.6, "bbox_reg_weights": (1.0, 2.0, 3.0, 4.0)}
DENSE = {**PYRAMID, "score_thresh": 0.3, "topk_candidates": 7, "norm_eps": 1e-3}
FREE = {"depth": 18, "stages": (2, 3), "fpn_channels": 32, "norm": "group"}


def unusual(name):
    """Return arguments of a builder that differ from its defaults."""
    family = MODELS[name].family
    if name in ("resnet18", "resnet34"):  # of basic blocks, which have no other options
        return {"n_class": 5, "zero_init_residual": True}
    if family in UNUSUAL:
        return UNUSUAL[family] | (FREE if "_resnet_" in name else {})
    arguments = RCNN if "rcnn" in family else DENSE
    if family == "keypoint_rcnn":
        arguments = {**arguments, "n_keypoint": 3}
    return {**arguments, **(FREE if "_resnet_" in name else {})}


def is_large(name):
    """Return whether a network has tens of millions of weights, and a smaller one of its family stands for it."""
    return name.startswith(("vgg1", "wide_", "resnext101", "resnet1")) and name not in ("vgg11", "resnet18")


def shapes(link):
    return {key: np.shape(value) for key, value in saved(link).items()}


@pytest.mark.parametrize("kind", ["default", "unusual"])
@pytest.mark.parametrize("name", marked(MODELS, mark=lambda name: pytest.mark.thorough if is_large(name) else None))
def test_a_model_survives_being_saved(name, kind, tmp_path):
    with without_initial_values():
        link = models.get_model(name, **(unusual(name) if kind == "unusual" else {}))
        for parameter in link.params():
            parameter.array[...] = 0
        save_weights(tmp_path / "own.npz", link, dtype="float16")
        loaded = models.load(tmp_path / "own.npz")
    assert type(loaded) is type(link)
    assert shapes(loaded) == shapes(link)
    assert loaded.meta["model"] == name
    assert {key: _listed(value) for key, value in loaded.meta["arguments"].items()} == {
        key: _listed(value) for key, value in link.meta["arguments"].items()
    }
    for attribute in ("label_names", "class_ids", "n_fg_class", "n_class", "score_thresh", "nms_thresh"):
        assert getattr(loaded, attribute, None) == getattr(link, attribute, None)
    if hasattr(link, "rpn"):
        assert loaded.rpn.nms_thresh == link.rpn.nms_thresh == (0.6 if kind == "unusual" else 0.7)


def _listed(value):
    return list(map(_listed, value)) if isinstance(value, tuple | list) else value


@pytest.mark.parametrize("name", MODELS)
def test_a_builder_is_a_plain_function(name):
    builder = MODELS[name].builder
    assert builder is getattr(models, name)
    assert pickle.loads(pickle.dumps(builder)) is builder
    assert inspect.getsource(builder).startswith(f"def {name}(")
    assert builder.__doc__.startswith("Build ")
    assert name in models.__all__


def test_every_list_is_the_registrys():
    assert models.list_models() == list(MODELS)
    assert models.list_models("mask_rcnn") == [name for name in MODELS if name.startswith("maskrcnn")]
    assert models.list_weights("resnet18") == dict(MODELS["resnet18"].weights)
    for call, field in ((models.list_models, "family"), (models.list_weights, "model"), (models.get_model, "model")):
        with pytest.raises(
            errors.InvalidArgument, match=f"{call.__name__}: {field} must be one of .*, got 'x'"
        ) as error:
            call("x")
        assert (error.value.field, error.value.value) == (field, "x")


def test_importing_the_registry_needs_no_chainer():
    code = """
import sys
sys.modules.update(dict.fromkeys(["chainer", "chainercv", "cupy", "numba", "PIL"]))
from chainfpn import models
assert [model.builder.__name__ for model in models.MODELS.values()] == models.list_models()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("num_classes", "there is no option 'num_classes'; here it is n_fg_class, which leaves the background out"),
        ("weights", "there is no option 'weights'; here it is pretrained_model"),
        ("rules", "there is no option 'rules'; fasterrcnn_resnet_fpn has it$"),
        (
            "box_thresh",
            "there is no option 'box_thresh'; there are anchor_sizes, aspect_ratios, bbox_reg_weights, ",
        ),
    ],
)
def test_an_option_of_another_name_is_named(option, message):
    with pytest.raises(TypeError, match=f"^fasterrcnn_resnet50_fpn: {message}"):
        models.fasterrcnn_resnet50_fpn(**{option: 1})


@pytest.mark.parametrize(
    ("option", "here"), [("num_classes", "n_class$"), ("pretrained", "pretrained_model$"), ("progress", "nothing")]
)
def test_an_option_of_torchvisions_classifiers_is_named(option, here):
    with pytest.raises(TypeError, match=f"^resnet18: there is no option '{option}'; here it is {here}"):
        models.resnet18(**{option: 1})


def test_weights_of_a_detector_are_no_trunk_and_the_other_way_round(tmp_path):
    message = (
        r"^person\.npz: holds the weights of fasterrcnn_resnet_fpn, not of resnet50; chainfpn\.models\.load builds"
    )
    with pytest.raises(WeightsError, match=message):
        models.resnet50(pretrained_model=weights_path())
    save_weights(tmp_path / "trunk.npz", models.resnet18(5))
    with pytest.raises(
        WeightsError, match=r"^trunk\.npz: holds the weights of resnet18; pass it as pretrained_backbone$"
    ):
        models.fasterrcnn_resnet_fpn(18, 1, pretrained_model=tmp_path / "trunk.npz")


def test_the_sides_of_a_batch_are_multiples_of_what_is_asked_for():
    with without_initial_values():
        link = models.fasterrcnn_resnet_fpn(18, 1, stages=(1, 2), min_size=40, max_size=64, size_divisible=8)
    assert link.prepare([np.zeros((3, 40, 40), np.float32)])[0].shape == (1, 3, 40, 40)
    assert link.meta["arguments"]["size_divisible"] == 8
