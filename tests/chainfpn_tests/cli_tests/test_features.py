import numpy as np
import pytest
from PIL import Image

from chainfpn import models
from chainfpn.cli.feature_maps import _heat, draw_features
from chainfpn.cli.main import main
from chainfpn.data import photograph_path, weights_path
from chainfpn.images import read_image
from reference.classifier_answers import without_initial_values


def test_one_picture_has_input_maps_anchors_and_what_was_found(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "features").mkdir()
    assert main(["features", str(photograph_path()), "--weights", str(weights_path())]) == 0
    *levels, last = capsys.readouterr().out.splitlines()
    assert levels[0].startswith("level 0: ")
    assert all(" 3 anchors a place, mean " in line for line in levels)
    assert last == "picture written to features/astronaut_features.png"
    picture = read_image("features/astronaut_features.png")
    assert picture.width == 320 * max(3, len(levels))
    rows = np.asarray(picture.resize((60, 60))).reshape(3, 20, 60, 3)
    assert all(np.ptp(row) > 100 for row in rows)


@pytest.mark.parametrize("name", ["retinanet_resnet_fpn", "fcos_resnet_fpn"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_detectors_of_one_stage_have_no_proposals(order, name):
    with without_initial_values():
        detector = getattr(models, name)(18, 2, min_size=64, max_size=64)
    for param in detector.params():
        param.array[...] = 0
    detector.preprocess.channel_order = order
    picture, lines = draw_features(detector, Image.new("RGB", (60, 60), "red"))
    assert len(lines) == 5
    assert picture.width == 5 * 320
    red, *others = picture.getpixel((160, 180))  # of the input, whatever order the network takes it in
    assert red > 250
    assert max(others) < 50


def test_what_is_not_finite_is_said():
    detector = models.fasterrcnn_resnet_fpn(18, 1, min_size=64, max_size=64)
    next(iter(detector.backbone.fpn.inner_blocks[3].params())).array[...] = np.nan
    with np.errstate(all="ignore"):
        _, lines = draw_features(detector, Image.new("RGB", (60, 60), "red"))
    assert lines[0].endswith(", NOT FINITE")


def test_heat_goes_from_dark_to_bright():
    heat = np.asarray(_heat(np.arange(12, dtype=np.float32).reshape(1, 3, 4)))
    assert tuple(heat[0, 0]) == (13, 8, 60)
    assert tuple(heat[2, 3]) == (252, 255, 164)


def test_no_image_is_one_sentence(capsys):
    assert main(["features", "nowhere.jpg"]) == 1
    assert capsys.readouterr().err == "chainfpn features: nowhere.jpg: there is no such file\n"
