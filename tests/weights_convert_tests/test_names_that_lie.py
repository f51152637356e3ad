"""Files that are well-formed, but whose names or ``__meta__`` promise what is not there: each is one sentence."""

import json
import pickle

import numpy as np
import pytest

import weights_convert
from weights_convert_tests.hostile import assembler

ONE = np.zeros(1, "f4")

#: Tensors by name: some that a library's layout is known by, some that are not what it goes on to look at.
TREES = {
    "a norm without a shape": {
        "stem.conv1.weight": ONE,
        "res2.0.conv1.weight": ONE,
        "stem.conv1.norm.weight": np.array(["text"]),
    },
    "mmdetection 1.x without boxes": {
        "neck.lateral_convs.0.conv.weight": ONE,
        "rpn_head.rpn_conv.weight": ONE,
        "bbox_head.fc_cls.bias": ONE,
    },
    "a bias of another width than its norm": {
        "conv1/conv/W": ONE,
        "res2/a/conv1/conv/W": ONE,
        "conv1/conv/b": np.zeros(3, "f4"),
        "conv1/bn/avg_mean": np.zeros(2, "f4"),
    },
    "boxes of no features": {
        "extractor/base/conv1/conv/W": ONE,
        "bbox_head/conf/W": ONE,
        "bbox_head/loc/W": np.zeros((8, 0), "f4"),
    },
}

META = {"format": 1, "model": "resnet18", "arguments": {}}


@pytest.mark.parametrize("kind", TREES)
def test_what_a_layout_looks_at_may_be_missing_or_of_another_shape(kind, tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(TREES[kind], 4))
    with pytest.raises(weights_convert.ConversionError, match=r"^x\.pkl: "):
        weights_convert.convert_arrays(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "3",
        json.dumps(META | {"arguments": 3}),
        json.dumps(META | {"source": 3}),
        json.dumps(META | {"torch_names": 3}),
        json.dumps(META | {"torch_names": {"x/W": 3}}),
    ],
)
def test_what_is_no_meta_of_ours_is_not_taken_for_it(text, tmp_path):
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    path = tmp_path / "x.safetensors"
    path.write_bytes(assembler.safetensors({"__metadata__": {"chainfpn": text}, "x.weight": entry}))
    _, meta, _ = weights_convert.convert_arrays(path, model="any")
    assert meta["arguments"] == {}
    assert not weights_convert.is_conversion_of(path, path)


def test_an_array_in_the_oldest_protocol_is_read(tmp_path):
    array = np.arange(-100, 100, dtype="f4")
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"x": array}, 0))
    np.testing.assert_array_equal(weights_convert.read_checkpoint(tmp_path / "x.pkl")["x"], array, strict=True)


def test_thousands_of_networks_beside_one_are_told_apart_at_once(tmp_path):
    """Each name was compared with each network: minutes, which the limit on all tests would end."""
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    own = [f"encoder_q.{name}" for name in ("conv1.weight", "layer1.0.conv1.weight")]
    others = [f"key.{i}.{name}" for i in range(15_000) for name in ("conv1.weight", "layer1.0.conv1.weight")]
    path = tmp_path / "x.safetensors"
    path.write_bytes(assembler.safetensors(dict.fromkeys(own + others, entry), b""))
    report = weights_convert.inspect(path)
    assert report.layout == "MoCo"
    assert report.dropped == dict.fromkeys(others, "the other network of the pre-training")
