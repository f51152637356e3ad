"""Weights of a classifier in the trunks of detectors: from every kind of file, and everything that does not fit."""

import functools
import json
import re

import numpy as np
import pytest
from chainer import serializers

import weights_convert
from chainfpn import WeightsError, models
from chainfpn.errors import InvalidArgument
from chainfpn.links import BatchNormalization
from chainfpn.models import mobilenet_v3_large
from reference.arrays import saved
from reference.classifier_answers import without_initial_values
from reference.seeded_weights import fill_link, seeded_array
from weights_convert import zoo

RESNET_BUILDERS = [name for name in models.MODELS if name.endswith(("_resnet_fpn", "_resnet_fpn_v2"))]
SMALL = {"n_fg_class": 2, "fpn_channels": 16, "min_size": 64}


def small(name, depth=18, **options):
    widths = {"head_channels": 16} if "rcnn" in name else {}
    channels = {"fpn_channels": 32} if name.startswith(("fcos", "retinanet")) else {}
    return getattr(models, name)(depth, **SMALL | widths | channels | options)


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory):
    """A folder with a ResNet-18 of three classes as .npz and .pth, and its arrays."""
    folder = tmp_path_factory.mktemp("trunk")
    classifier = models.resnet18(n_class=3)
    fill_link(classifier)
    serializers.save_npz(folder / "resnet18.npz", classifier)
    weights_convert.convert(folder / "resnet18.npz", folder / "resnet18.pth", model="resnet18")
    return folder, saved(classifier)


def check_body(body, expected, *, left_out=("fc/",)):
    """Compare all of a trunk with a classifier's arrays, and what is compared with what the classifier has."""
    found = saved(body)
    counters = {name for name in expected.keys() | found.keys() if name.endswith("/N")}
    assert found.keys() - counters == {name for name in expected if not name.startswith(left_out)} - counters
    for name in found.keys() - counters:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_every_family_on_any_resnet_is_there():
    assert len(RESNET_BUILDERS) >= 8


@pytest.mark.parametrize("name", RESNET_BUILDERS)
def test_the_trunk_is_the_classifiers(name, resnet18):
    folder, expected = resnet18
    model = small(name, pretrained_backbone=folder / ("resnet18.pth" if "v2" in name else "resnet18.npz"))
    check_body(model.backbone.body, expected)


def test_the_stages_that_are_cut_off_are_left_out(resnet18):
    folder, expected = resnet18
    model = small("fasterrcnn_resnet_fpn", stages=(1, 2, 3), pretrained_backbone=folder / "resnet18.npz")
    check_body(model.backbone.body, expected, left_out=("fc/", "layer4/"))


def test_torchvisions_weights_are_those_of_the_depth(resnet18, monkeypatch):
    folder, expected = resnet18
    asked = []
    monkeypatch.setattr(zoo, "fetch", lambda name: asked.append(name) or str(folder / "resnet18.npz"))
    check_body(small("fcos_resnet_fpn", pretrained_backbone="imagenet").backbone.body, expected)
    small("retinanet_resnet_fpn", pretrained_backbone="imagenet_v2")
    for name, options in (
        ("fasterrcnn_resnet50_fpn_v2", {"pretrained_backbone": "imagenet_v2"}),
        ("maskrcnn_resnet50_fpn", {"pretrained_backbone": "imagenet"}),
        ("keypointrcnn_resnet50_fpn", {"pretrained_backbone": "imagenet"}),
        ("keypointrcnn_resnet_fpn", {"depth": "resnext50_32x4d", "pretrained_backbone": "imagenet"}),
        ("fasterrcnn_mobilenet_v3_large_fpn", {"pretrained_backbone": "imagenet_v2"}),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", {"pretrained_backbone": "imagenet"}),
        ("ssd300_vgg16", {"pretrained_backbone": "imagenet"}),
        ("retinanet_kuangliu", {"pretrained_backbone": "imagenet"}),
    ):
        with without_initial_values(), pytest.raises(WeightsError, match=r"resnet18\.npz: (backbone|fpn)/"):
            getattr(models, name)(**options)
    assert asked == [
        "resnet18",
        "resnet18:imagenet_v2",
        "resnet50:imagenet_v2",
        "resnet50",
        "resnet50",
        "resnext50_32x4d",
        "mobilenet_v3_large:imagenet_v2",
        "mobilenet_v3_large",
        "vgg16:imagenet_features",
        "resnet50",
    ]
    assert {name for name in asked if ":" in name} - {"resnet18:imagenet_v2"} <= zoo.FILES.keys()


def test_mobilenets_trunk(tmp_path):
    classifier = mobilenet_v3_large(n_class=3, norm=functools.partial(BatchNormalization, eps=1e-3))
    fill_link(classifier)
    serializers.save_npz(tmp_path / "mobile.npz", classifier)
    model = models.fasterrcnn_mobilenet_v3_large_fpn(2, pretrained_backbone=tmp_path / "mobile.npz")
    check_body(model.backbone.body, saved(classifier.features))


def test_ssds_trunk(tmp_path):
    """VGG's layers behind the fourth pooling have other names there, and those behind the fifth are SSD's own."""
    fresh = saved(models.ssd300_vgg16(2))
    arrays = {"classifier/0/W": np.zeros((2, 2))}
    for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28):
        for leaf in "Wb":
            ours = f"backbone/features/{i}/{leaf}" if i < 23 else f"backbone/extra/0/{i - 23}/{leaf}"
            arrays[f"features/{i}/{leaf}"] = seeded_array(ours, fresh[ours].shape)
    np.savez(tmp_path / "vgg.npz", **arrays)
    found = saved(models.ssd300_vgg16(2, pretrained_backbone=tmp_path / "vgg.npz"))
    np.testing.assert_array_equal(found["backbone/features/21/W"], arrays["features/21/W"])
    np.testing.assert_array_equal(found["backbone/extra/0/5/b"], arrays["features/28/b"])
    assert found["backbone/extra/0/7/1/W"].any()
    del arrays["features/28/W"], arrays["features/0/b"]
    np.savez(tmp_path / "short.npz", **arrays)
    with pytest.raises(WeightsError) as error:
        models.ssd300_vgg16(2, pretrained_backbone=tmp_path / "short.npz")
    assert str(error.value).splitlines() == [
        "short.npz: backbone/extra/0/5/W is missing",
        "short.npz: backbone/features/0/b is missing",
    ]


def test_everything_that_does_not_fit_is_named_at_once(resnet18):
    folder, expected = resnet18
    arrays = {name: array for name, array in expected.items() if not name.startswith("bn1/beta")}
    arrays |= {"conv1/W": np.zeros((64, 1, 7, 7), "f"), "stem/W": np.zeros(3, "f")}
    np.savez(folder / "odd.npz", **arrays)
    with pytest.raises(WeightsError) as error:
        small("fasterrcnn_resnet_fpn", pretrained_backbone=folder / "odd.npz")
    assert str(error.value).splitlines() == [
        "odd.npz: backbone/body/bn1/beta is missing",
        "odd.npz: backbone/body/stem/W is not in the model",
        "odd.npz: backbone/body/conv1/W has shape (64, 1, 7, 7) in the file, (64, 3, 7, 7) in the model",
    ]


def test_a_trunk_of_another_depth_is_refused(resnet18):
    with pytest.raises(WeightsError, match=r"resnet18\.npz: backbone/body/layer1/2/conv1/W is missing"):
        small("fasterrcnn_resnet_fpn", 34, pretrained_backbone=resnet18[0] / "resnet18.npz")


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "fcos_resnet_fpn", "ssd300_vgg16"])
def test_weights_for_the_trunk_and_for_the_whole_are_refused(name):
    message = f"{name}: pretrained_backbone must be None where pretrained_model has the trunk's weights, got 'imagenet'"
    with pytest.raises(ValueError, match=message):
        getattr(models, name)(pretrained_model="a.npz", pretrained_backbone="imagenet")


def test_what_the_file_says_of_the_trunk_is_heeded_unless_told_otherwise(tmp_path):
    arrays = saved(models.resnet50(n_class=2))
    meta = {"model": "resnet50", "arguments": {"n_class": 2, "stride_in_1x1": True, "norm_eps": 2e-5}}
    np.savez(tmp_path / "caffe.npz", __meta__=json.dumps(meta), **arrays)
    options = {"stages": (1, 2), "pretrained_backbone": tmp_path / "caffe.npz"}
    model = small("retinanet_resnet_fpn", 50, **options)
    assert model.backbone.body.layer2[0].conv1.stride == (2, 2)
    assert model.backbone.body.bn1.eps == 2e-5
    assert model.meta["arguments"]["stride_in_1x1"] is True
    model = small("retinanet_resnet_fpn", 50, norm_eps=1e-3, **options)
    assert model.backbone.body.bn1.eps == 1e-3


def test_options_are_checked_before_anything_is_read():
    with pytest.raises(ValueError, match="depth must be 18, 34"):
        small("fasterrcnn_resnet_fpn", 19, pretrained_backbone="nowhere.npz")


@pytest.mark.parametrize(
    ("builder", "options", "sentence"),
    [
        (
            models.fasterrcnn_resnet50_fpn,
            {"pretrained_model": "voc0712"},
            "fasterrcnn_resnet50_fpn: weights must be 'coco' or the path of a file, got 'voc0712'",
        ),
        (
            models.retinanet_resnet_fpn,
            {"pretrained_model": "imagenet"},
            "retinanet_resnet_fpn: weights must be the path of a file, got 'imagenet', which pretrained_backbone takes",
        ),
        (
            models.fasterrcnn_resnet_fpn,
            {"pretrained_backbone": "voc"},
            "resnet50: weights must be 'imagenet' or 'imagenet_v2' or the path of a file, got 'voc'",
        ),
        (
            models.resnet18,
            {"pretrained_model": "imagenet_v2"},
            "resnet18: weights must be 'imagenet' or the path of a file, got 'imagenet_v2'",
        ),
    ],
)
def test_a_word_that_names_no_weights_is_refused(builder, options, sentence):
    with pytest.raises(InvalidArgument, match=f"^{re.escape(sentence)}$"):
        builder(**options)


def test_a_folder_with_the_name_of_a_word_is_not_taken_for_a_file(tmp_path, monkeypatch, resnet18):
    folder, expected = resnet18
    (tmp_path / "imagenet").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo, "fetch", lambda name: folder / "resnet18.pth")
    check_body(small("fasterrcnn_resnet_fpn", pretrained_backbone="imagenet").backbone.body, expected)
