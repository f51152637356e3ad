"""Files: their names, what they say of the model, and that none is half written."""

import json
import sys

import chainer
import chainer.links as L
import numpy as np
import onnx
import pytest

import chainfpn
from chainfpn import models
from chainfpn.errors import InvalidArgument, InvalidType
from chainfpn.export import ExportError
from chainfpn.export.graph import Graph
from reference.classifier_answers import without_initial_values


@pytest.fixture(scope="module")
def detector():
    """A small Mask R-CNN."""
    with without_initial_values():
        return models.maskrcnn_resnet_fpn(
            depth=18, n_fg_class=2, fpn_channels=32, label_names=("cat", "dog"), box_score_thresh=0.25
        )


def texts(path):
    """Return the metadata of a file."""
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_a_detector_of_two_stages_is_several_files(detector, tmp_path):
    paths = chainfpn.export_onnx(detector, tmp_path / "mask.onnx", form="dense")
    assert [path.name for path in paths] == ["mask.onnx", "mask.box.onnx", "mask.mask.onnx"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    said = [texts(path) for path in paths]
    assert [text["part"] for text in said] == ["image", "box", "mask"]
    assert {text["model"] for text in said} == {"maskrcnn_resnet_fpn"}
    assert json.loads(said[0]["label_names"]) == ["cat", "dog"]
    assert json.loads(said[0]["class_ids"]) == [1, 2]
    assert json.loads(said[0]["input"])["mean"] == [0.485, 0.456, 0.406]
    assert json.loads(said[0]["input"])["max_size"] == 1333
    settings = json.loads(said[0]["settings"])
    assert settings["roi_heads"]["score_thresh"] == 0.25
    assert settings["rpn"]["nms_thresh"] == 0.7
    assert json.loads(said[0]["arguments"])["depth"] == 18
    assert onnx.load(paths[0]).opset_import[0].version == 17


def test_a_classifier_says_how_its_input_is_made(tmp_path):
    (path,) = chainfpn.export_onnx(models.squeezenet1_1(n_class=3), str(tmp_path / "classifier.onnx"))
    assert json.loads(texts(path)["input"]) == {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "resize": 256,
        "crop": 224,
    }


def test_weights_that_nothing_has_made_yet_are_no_obstacle(tmp_path):
    """As those of a head that is called elsewhere."""
    chain = L.Convolution2D(3, 4, 3)
    with chain.init_scope():
        chain.later = chainer.Parameter(0)
    chainfpn.export_onnx(chain, tmp_path / "chain.onnx")
    assert len(texts(tmp_path / "chain.onnx")["weights"]) == 64


def test_nothing_is_written_of_what_cannot_be(tmp_path):
    chain = chainer.Sequential(L.Convolution2D(3, 4, 3), lambda x: chainer.functions.repeat(x, 2))
    with pytest.raises(ExportError, match="Repeat"):
        chainfpn.export_onnx(chain, tmp_path / "chain.onnx")
    with pytest.raises(OSError, match="missing"):
        chainfpn.export_onnx(models.squeezenet1_1(n_class=3), tmp_path / "missing" / "chain.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_is_checked_before_it_is_written(tmp_path, monkeypatch):
    graph = Graph()
    graph.output("y", graph.input("x", "float32", (1, 2)), (3, 4))
    monkeypatch.setattr("chainfpn.export.file.dense_graph", lambda part, names: graph)
    with pytest.raises(onnx.shape_inference.InferenceError, match="differ in dimension 0"):
        chainfpn.export_onnx(L.Convolution2D(3, 4, 3), tmp_path / "chain.onnx")
    assert not [*tmp_path.iterdir()]


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(InvalidType, match=r"export_onnx: model must be a chainer\.Link, got 3"):
        chainfpn.export_onnx(3, tmp_path / "x.onnx")
    with chainer.using_config("dtype", np.float64):
        chain = chainer.Sequential(L.Convolution2D(3, 4, 3))
    with pytest.raises(InvalidArgument, match="export_onnx: model must be of float32 weights, got weights of float64"):
        chainfpn.export_onnx(chain, tmp_path / "x.onnx")


def test_who_has_no_onnx_is_told_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"onnx is missing \(.*\); pip install 'chainfpn\[onnx\]'"):
        chainfpn.export_onnx(models.squeezenet1_1(n_class=3), tmp_path / "x.onnx")


def test_weights_that_have_no_room_in_a_file_are_a_sentence(tmp_path, monkeypatch):
    """As RegNet's largest, whose weights take 2.6 GB."""
    monkeypatch.setattr("chainfpn.export.graph.ROOM", 1000)
    sentence = "export_onnx: weights must be up to 1000 bytes, the room of an ONNX file, got 1792"
    with pytest.raises(InvalidArgument, match=sentence):
        chainfpn.export_onnx(chainer.Sequential(L.Convolution2D(3, 16, 3)), tmp_path / "model.onnx")
    assert not [*tmp_path.iterdir()]
