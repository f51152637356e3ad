"""The detector in the box: trained by ``chainfpn train``, at least as good as its twin that torchvision trained."""

import argparse
import json
import re
import shlex

import numpy as np
import pytest
from chainercv.utils import bbox_iou, read_image

from chainfpn import models, read_weights
from chainfpn.cli import train
from chainfpn.cli.training_resume import to_json
from chainfpn.data import photograph_path, weights_path
from reference.pedestrians import average_precision, torchvision_result

#: Drawn by hand, yxyx.
ASTRONAUT = np.array([[10, 25, 512, 362]], dtype=np.float32)
RIDER = np.array([[98, 188, 372, 276]], dtype=np.float32)
CARD = weights_path().with_name("person.md")
RECORD = json.loads(weights_path().with_name("person_train.json").read_text(encoding="utf-8"))
PHOTOS = ("000456.jpg", "chelsea.png", "coffee.png", "dog.jpg")


@pytest.fixture(scope="module")
def detector():
    detector = models.load(weights_path())
    detector.score_thresh = 0.5
    return detector


def find(detector, path):
    (bbox,), _, (score,) = detector.predict([read_image(str(path))])
    assert (score > 0.5).all()
    return bbox


def test_the_bundled_photographs(detector):
    bbox = find(detector, photograph_path("astronaut"))
    assert len(bbox) == 1  # she is, and her flag is not
    assert bbox_iou(bbox, ASTRONAUT)[0, 0] >= 0.5
    assert len(find(detector, photograph_path("coffee"))) == 0


def test_no_animal_and_no_thing_is_a_person(detector, shared_data):
    for name in PHOTOS:
        assert len(find(detector, shared_data / "photos" / name)) == 0, name
    bbox = find(detector, shared_data / "photos" / "person.jpg")
    assert len(bbox) == 1  # not her horse
    assert bbox_iou(bbox, RIDER)[0, 0] >= 0.5


@pytest.mark.thorough
def test_average_precision_is_at_least_torchvisions(shared_data):
    ap, n_pedestrians, _ = average_precision(models.load(weights_path()), shared_data)
    expected = torchvision_result(shared_data)
    assert n_pedestrians == expected[1]
    assert ap >= expected[0]
    row = re.search(r"^\| chainfpn, this file \| (\S+) \|$", CARD.read_text(encoding="utf-8"), re.MULTILINE)
    assert ap == pytest.approx(float(row[1]), abs=0.0005)


def test_the_card_has_the_commands_of_the_training():
    commands = re.findall(r"^\$ mpiexec -n 2 chainfpn (.*?[^\\])$", CARD.read_text(), re.MULTILINE | re.DOTALL)
    assert len(commands) == len(RECORD["stages"]) == 2
    for command, stage in zip(commands, RECORD["stages"], strict=True):
        parser = argparse.ArgumentParser()
        train.add_arguments(parser)
        given = vars(parser.parse_args(shlex.split(command.replace("\\\n", ""))[1:]))
        settings = to_json(argparse.Namespace(**{**train.DEFAULTS, **given}))
        assert {key: value for key, value in settings.items() if value != train.DEFAULTS[key]} == stage["settings"]


def test_the_file_says_how_it_was_trained():
    arrays, meta = read_weights(weights_path())
    assert meta["training"]["epoch"] == RECORD["stages"][-1]["settings"]["epochs"]
    assert meta["training"]["map"] == pytest.approx(RECORD["stages"][-1]["log"][-1]["AP50"], abs=1e-4)
    assert meta["label_names"] == ["person"]
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
    assert weights_path().stat().st_size < 11_000_000
