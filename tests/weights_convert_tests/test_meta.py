"""``__meta__`` says what the builders understand, in JSON."""

import numpy as np
import pytest

import weights_convert
from chainfpn import models
from chainfpn.models._weights import Weights
from reference.arrays import saved
from weights_convert.known_models import builder_arguments
from weights_convert.meta import meta_array
from weights_convert.write.safetensors import write_safetensors

#: Which weights to take, and what has an entry of its own.
OTHERS = {"pretrained_model", "pretrained_backbone", "label_names"}
#: What a classifier is built with, but its weights are none the wiser for.
OF_CLASSIFIERS = {
    "dropout",
    "drop_rate",
    "stochastic_depth_prob",
    "width_mult",
    "norm",
    "replace_stride_with_dilation",
    "zero_init_residual",
    "n_stages",
}


@pytest.mark.parametrize("name", models.MODELS)
def test_arguments_are_those_of_the_builder(name):
    taken = models.MODELS[name].options - OTHERS
    if "n_class" in taken:
        taken -= OF_CLASSIFIERS
    if name.startswith("fasterrcnn_mobilenet"):
        taken -= {"stride_in_1x1"}  # it has no such convolution, and refuses
    assert builder_arguments(name) == taken


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_say_is_refused(number, tmp_path):
    meta = {"training": {"map": number}}
    sentence = f"__meta__ must have finite numbers only, got .*{number}"
    with pytest.raises(weights_convert.CheckpointError, match=sentence):
        meta_array(meta)
    with (
        (tmp_path / "x.safetensors").open("wb") as file,
        pytest.raises(weights_convert.CheckpointError, match=sentence),
    ):
        write_safetensors(file, {"a": ((1,), "float32")}, lambda name: np.zeros(1, np.float32), meta)


def test_a_file_is_not_begun_with_such_a_number(tmp_path):
    from chainfpn.serialization import save_weights

    with pytest.raises(ValueError, match="__meta__ must have finite numbers only"):
        save_weights(tmp_path / "x.npz", models.resnet18(2).fc, meta={"lr": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["fpn50", "fpn101"])
def test_a_pyramid_is_built_as_its_file_says(name):
    """The rest of what a file says of a model is tested with the models."""
    builder = models.MODELS[name].builder
    weights = Weights(saved(builder()), {"arguments": {"align_corners": True}}, "x.npz")
    assert builder(weights).align_corners is True
    assert builder(weights, align_corners=False).align_corners is False
    assert builder().align_corners is False


def test_the_record_of_a_training_stays_in_a_converted_file(tmp_path):
    from chainfpn.serialization import read_weights, save_weights

    record = {"epoch": 3, "iteration": 30, "map": 0.5}
    model = models.fasterrcnn_resnet_fpn(18, n_fg_class=1, stages=(1, 2), fpn_channels=8, head_channels=8)
    save_weights(tmp_path / "x.npz", model, meta={"training": record, "converter": "0"})
    weights_convert.convert(tmp_path / "x.npz", tmp_path / "half.npz", dtype="float16")
    arrays, meta = read_weights(tmp_path / "half.npz")
    assert arrays["backbone/body/conv1/W"].dtype == np.float16
    assert (meta["training"], meta["model"]) == (record, "fasterrcnn_resnet_fpn")
    assert meta["source"]["file"] == "x.npz"
    assert meta["converter"] != "0"


@pytest.mark.parametrize(("family", "rules"), [("retinanet", "detectron2"), ("fcos", "mmdetection")])
def test_a_detector_that_was_built_under_rules_without_a_background_goes_there_and_back(tmp_path, family, rules):
    from chainfpn.serialization import save_weights

    model = models.MODELS[f"{family}_resnet_fpn"].builder(18, 2, fpn_channels=32, rules=rules)
    assert "class_ids" not in model.meta["arguments"]
    save_weights(tmp_path / "own.npz", model, dtype="float16")
    report = weights_convert.convert(tmp_path / "own.npz", tmp_path / "there.pth")
    assert any(note.startswith(f"written with the names of {rules}") for note in report.notes)
    weights_convert.convert(tmp_path / "there.pth", tmp_path / "back.npz")
    again = models.load(tmp_path / "back.npz")
    assert (again.n_fg_class, list(again.class_ids), again.meta["arguments"]["rules"]) == (2, [0, 1], rules)
    with pytest.raises(
        weights_convert.CheckpointError, match="n_fg_class = 1 does not go with the weights, which have 2"
    ):
        weights_convert.convert(tmp_path / "own.npz", tmp_path / "x.npz", meta={"n_fg_class": 1})
