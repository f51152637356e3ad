"""Files that the version before the registry of models wrote: they load, and mean what they meant."""

import json
import pathlib
import shutil

import chainer
import numpy as np
import pytest

from chainfpn import models, read_weights
from chainfpn.cli import train
from chainfpn.cli.main import main
from reference.arrays import saved

EARLIER = pathlib.Path(__file__).parents[1] / "earlier_files"
FILES = sorted(path.relative_to(EARLIER).as_posix() for path in EARLIER.glob("**/*.npz") if path.stem != "snapshot")
DETECTORS = [name for name in FILES if not name.startswith("squeezenet")]
#: The only one that does not name its model.
NAMELESS = {"squeezenet1_1.npz": "squeezenet1_1"}


def load(name):
    """Load a file: the model, and what the file has."""
    return models.load(EARLIER / name, model=NAMELESS.get(name)), *read_weights(EARLIER / name)


def as_json(value):
    return json.loads(json.dumps(value))


@pytest.fixture
def resumed(tmp_path):
    """The earlier training of one epoch, gone on with for another."""
    shutil.copytree(EARLIER / "training", tmp_path / "run")
    assert main(["train", "--resume", "--epochs", "2", "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_there_is_a_file_of_every_kind():
    assert len(FILES) == 9


@pytest.mark.parametrize("name", FILES)
def test_the_weights_are_those_of_the_file(name):
    model, arrays, _ = load(name)
    own = saved(model)
    assert all(key.endswith("/N") for key in own.keys() ^ arrays.keys())
    for key, array in arrays.items():
        np.testing.assert_array_equal(own[key], array, err_msg=key)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_arguments_arrive(name):
    model, _, meta = load(name)
    arguments = dict(meta["arguments"])
    class_ids = arguments.pop("raw_labels", None)
    if class_ids is not None:
        assert model.class_ids == tuple(class_ids) == (2, 5)
        arguments["class_ids"] = class_ids
    assert model.meta["model"] == meta["model"]
    assert as_json(model.meta["arguments"]) == arguments
    assert as_json(model.meta["label_names"]) == meta["label_names"]
    assert model.label_names == tuple(meta["label_names"] or ["person"])
    assert model.n_fg_class == arguments.get("n_fg_class", 1)


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "converted.npz"])
def test_images_get_the_size_of_the_file(name):
    """All were made with sides of at most 64; an image in test mode gets the last of the shorter ones."""
    model, _, meta = load(name)
    shorter = np.atleast_1d(meta["arguments"]["min_size"])[-1]
    with chainer.using_config("train", False):
        for size, expected in (((96, 96), (shorter, shorter)), ((40, 160), (16, 64))):
            x, sizes = model.prepare([np.zeros((3, *size), np.float32)])
            assert sizes == [expected]
            assert x.shape[2:] == tuple(-(-side // 32) * 32 for side in expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_the_detector_detects(name):
    model, _, _ = load(name)
    img = np.random.RandomState(0).uniform(0, 255, (3, 48, 64)).astype(np.float32)
    model.score_thresh = 0
    bboxes, labels, scores, *_ = model.predict([img])
    assert len(bboxes[0]) == len(labels[0]) == len(scores[0])
    assert set(labels[0].tolist()) <= set(range(model.n_fg_class))


def test_the_classifier_classifies():
    model, _, _ = load("squeezenet1_1.npz")
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        assert np.isfinite(model(np.zeros((1, 3, 224, 224), np.float32)).array).all()


def test_the_training_goes_on(resumed):
    log = json.loads((resumed / "log").read_text())
    assert log[0] == json.loads((EARLIER / "training" / "log").read_text())[0]
    assert [(entry["epoch"], entry["iteration"]) for entry in log] == [(1, 2), (2, 4)]
    before, after = (read_weights(folder / "last.npz")[0] for folder in (EARLIER / "training", resumed))
    assert before.keys() == after.keys()
    assert any((before[name] != after[name]).any() for name in before)
    settings, earlier = (
        json.loads((folder / "train.json").read_text())["settings"] for folder in (resumed, EARLIER / "training")
    )
    assert {key: settings[key] for key in earlier} == {**earlier, "epochs": 2}
    assert all(settings[key] == train.DEFAULTS[key] for key in settings.keys() - earlier.keys())  # they came later


def test_a_training_starts_from_a_detector(tmp_path):
    """Whose classes keep neither their labels nor the indices in the network."""
    command = ["train", "--data", "shapes:2", "--weights", str(EARLIER / "fasterrcnn_resnet_fpn.npz"), "--lr", "0"]
    options = ["--epochs", "1", "--samples", "0", "--no-augment", "--loss", "box_batch_size_per_image=16"]
    assert main([*command, *options, "--out", str(tmp_path / "run")]) == 0
    model = models.load(tmp_path / "run" / "last.npz")
    assert (model.class_ids, model.label_names) == ((1, 2, 3), ("circle", "square", "triangle"))
    assert model.meta["arguments"]["rules"] == "chainercv"
    before = read_weights(EARLIER / "fasterrcnn_resnet_fpn.npz")[0]["backbone/body/conv1/W"]
    np.testing.assert_array_equal(model.backbone.body.conv1.W.array, before)
