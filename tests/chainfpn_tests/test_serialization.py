"""Loading weights: bit for bit, all problems at once, nothing unpickled."""

import copy
import json
import os
import pickle

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from chainer.training import extensions

import chainfpn
from chainfpn import WeightsError, load_weights, models, read_weights, save_weights, set_weights
from chainfpn.links import BatchNormalization, FrozenBatchNormalization, Preprocess
from chainfpn.links.detectors.framework_preprocess import Detectron2Preprocess
from reference.arrays import assert_same_arrays, saved


class Small(chainer.Chain):
    """A link with every kind of leaf."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(3, 4, 3)
            self.norm = BatchNormalization(4)
            self.frozen = FrozenBatchNormalization(4)


@pytest.fixture
def file(tmp_path):
    """An .npz of a Small, and its arrays."""
    rng = np.random.RandomState(0)
    arrays = {name: rng.normal(size=value.shape).astype("f") for name, value in saved(Small()).items() if value.ndim}
    np.savez(tmp_path / "w.npz", __meta__=json.dumps({"model": "small"}), **arrays)
    return tmp_path / "w.npz", arrays


def test_every_leaf_is_loaded_bit_for_bit(file):
    path, arrays = file
    link = Small()
    assert load_weights(path, link) == {"model": "small"}
    loaded = saved(link)
    assert len(arrays) == 10
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_chainers_own_loader_takes_the_same_file(file):
    path, arrays = file
    link = Small()
    chainer.serializers.load_npz(path, link)
    np.testing.assert_array_equal(link.norm.avg_var, arrays["norm/avg_var"])


def test_the_counter_is_loaded_where_there_is_one(tmp_path):
    source = Small()
    source.norm.N = 7
    chainer.serializers.save_npz(tmp_path / "w.npz", source)
    link = Small()
    load_weights(tmp_path / "w.npz", link)
    assert link.norm.N == 7


def test_all_problems_are_named_at_once_and_nothing_changes(file, tmp_path):
    _, arrays = file
    del arrays["conv/b"]
    arrays["conv/W"] = arrays["conv/W"][:2]
    arrays["head/W"] = np.zeros(3)
    np.savez(tmp_path / "bad.npz", **arrays)
    link = Small()
    before = copy.deepcopy(saved(link))
    with pytest.raises(WeightsError) as caught:
        load_weights(tmp_path / "bad.npz", link)
    assert str(caught.value).splitlines() == [
        "bad.npz: conv/b is missing",
        "bad.npz: head/W is not in the model",
        "bad.npz: conv/W has shape (2, 3, 3, 3) in the file, (4, 3, 3, 3) in the model",
    ]
    assert_same_arrays(saved(link), before)


def test_not_strict_loads_what_both_have(file, tmp_path):
    _, arrays = file
    del arrays["conv/b"]
    arrays["head/W"] = np.zeros(3)
    np.savez(tmp_path / "part.npz", **arrays)
    link = Small()
    load_weights(tmp_path / "part.npz", link, strict=False)
    np.testing.assert_array_equal(link.conv.W.array, arrays["conv/W"])


class _TrainChain(chainer.Chain):
    def __init__(self, model):
        super().__init__()
        with self.init_scope():
            self.model = model

    def forward(self, x):
        return F.sum(self.model.conv(x))


def test_a_trainers_snapshot_is_taken(tmp_path):
    link = Small()
    optimizer = chainer.optimizers.SGD().setup(_TrainChain(link))
    iterator = chainer.iterators.SerialIterator([np.ones((3, 5, 5), dtype="f")], 1)
    updater = chainer.training.StandardUpdater(iterator, optimizer)
    trainer = chainer.training.Trainer(updater, (1, "iteration"), out=tmp_path)
    trainer.extend(extensions.snapshot(filename="snapshot"), trigger=(1, "iteration"))
    trainer.run()
    fresh = Small()
    load_weights(tmp_path / "snapshot", fresh)
    np.testing.assert_array_equal(fresh.conv.W.array, link.conv.W.array)


class _Bomb:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (self.canary,)


def test_nothing_is_unpickled(tmp_path):
    canary = tmp_path / "canary"
    np.savez(tmp_path / "evil.npz", W=np.array([_Bomb(str(canary))], dtype=object))
    with pytest.raises(WeightsError, match=r"evil\.npz: W is a pickled object, which is never loaded"):
        read_weights(tmp_path / "evil.npz")
    assert not canary.exists()


@pytest.mark.parametrize("content", [b"", b"not an archive at all", b"PK\x03\x04 cut"])
def test_what_is_no_archive_is_said(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.npz: must be an \.npz archive, got"):
        read_weights(tmp_path / "x.npz")


def test_a_broken_meta_is_said(tmp_path):
    np.savez(tmp_path / "x.npz", __meta__="{", W=np.zeros(1))
    with pytest.raises(WeightsError, match=r"x\.npz: __meta__ must be JSON, got '{'"):
        read_weights(tmp_path / "x.npz")


def test_what_is_saved_builds_the_same_detector_again(tmp_path):
    options = {"depth": 18, "stages": (2, 3), "fpn_channels": 8, "head_channels": 8, "n_fg_class": 2, "min_size": 64}
    model = models.fasterrcnn_resnet_fpn(label_names=("cat", "dog"), max_size=96, **options)
    chainfpn.save_weights(tmp_path / "own.npz", model, meta={"seed": 3})
    again = models.load(tmp_path / "own.npz")
    assert again.label_names == ("cat", "dog")
    assert again.meta == {**model.meta, "arguments": {**model.meta["arguments"], "stages": (2, 3)}}
    assert_same_arrays(saved(again), saved(model))
    assert read_weights(tmp_path / "own.npz")[1]["seed"] == 3
    assert os.listdir(tmp_path) == ["own.npz"]


@pytest.mark.parametrize(
    ("rules", "built", "changed", "expected"),
    [
        ("torchvision", {}, {"min_size": 64, "max_size": 96}, {"min_size": 64, "max_size": 96}),
        ("torchvision", {"min_size": 64}, {"min_size": (np.int64(32), 48)}, {"min_size": [32, 48]}),
        ("detectron2", {}, {"mean": tuple(np.arange(3.0)), "channel_order": "RGB"}, {"image_mean": [0, 1, 2]}),
        ("chainercv", {}, {"min_size": 64, "mean": (0, 0, 0)}, {"min_size": 64}),
        ("torchvision", {"min_size": 64}, {}, {"min_size": 64}),
    ],
)
def test_what_is_set_in_the_preprocess_is_kept(tmp_path, rules, built, changed, expected):
    slim = {"stages": (1, 2), "fpn_channels": 8, "head_channels": 8, "rules": rules}
    detector = models.fasterrcnn_resnet_fpn(18, 1, **slim, **built)
    before = copy.deepcopy(detector.meta)
    for name, value in changed.items():
        setattr(detector.preprocess, name, value)
    save_weights(tmp_path / "a.npz", detector)
    arguments = read_weights(tmp_path / "a.npz")[1]["arguments"]
    assert {key: arguments[key] for key in expected} == expected
    assert ("image_mean" in arguments) == ("image_mean" in expected)
    loaded = models.load(tmp_path / "a.npz").preprocess
    assert loaded.arguments == detector.preprocess.arguments
    assert detector.meta == before


def test_a_preprocess_of_another_class_is_not_taken_for_the_builders():
    detector = models.fasterrcnn_resnet_fpn(18, 1, stages=(1, 2), fpn_channels=8, head_channels=8)
    detector.preprocess = Detectron2Preprocess(64, 96)
    assert detector.current_meta() == detector.meta
    detector.preprocess = Preprocess(64, 96)
    assert detector.current_meta()["arguments"].items() >= {"min_size": 64, "max_size": 96}.items()
    detector.preprocess = lambda imgs, dtype: None
    assert detector.current_meta() == detector.meta


def test_halves_are_half_as_large(tmp_path):
    link = Small()
    chainfpn.save_weights(tmp_path / "half.npz", link, dtype="float16")
    arrays, meta = read_weights(tmp_path / "half.npz")
    assert {array.dtype for name, array in arrays.items() if not name.endswith("/N")} == {np.dtype("float16")}
    assert meta == {"format": 1}
    load_weights(tmp_path / "half.npz", link)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"w\.npz: cannot be written: No such file or directory"):
        chainfpn.save_weights(tmp_path / "nowhere" / "w.npz", Small())


def test_what_does_not_fit_is_in_the_error():
    link = L.Linear(3, 2)
    arrays = {"W": np.zeros((2, 4), np.float32), "x": np.zeros(1, np.float32)}
    with pytest.raises(WeightsError) as caught:
        set_weights(arrays, link, file="a.npz")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.file, error.missing, error.unexpected) == ("a.npz", ("b",), ("x",))
    assert error.misshapen == {"W": ((2, 4), (2, 3))}
    assert str(error).splitlines() == [
        "a.npz: b is missing",
        "a.npz: x is not in the model",
        "a.npz: W has shape (2, 4) in the file, (2, 3) in the model",
    ]
