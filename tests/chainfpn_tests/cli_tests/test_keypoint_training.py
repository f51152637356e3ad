"""Keypoints by command: what a set has, a training, an evaluation."""

import json

import numpy as np
import pytest
from PIL import Image

from chainfpn import models, read_weights
from chainfpn.cli.main import main
from chainfpn.datasets import open_dataset
from reference.keypoint_set import NAMES, write_keypoint_set

OPTIONS = ("depth=18", "stages=[1,2]", "fpn_channels=8", "head_channels=8", "keypoint_layers=[8]")
SLIM = [
    *("--model", "keypointrcnn_resnet_fpn", "--warm-up", "2", "--loss", "box_batch_size_per_image=16"),
    *(part for option in (*OPTIONS, "min_size=48", "max_size=48") for part in ("--set", option)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    write_keypoint_set(folder)
    return folder


@pytest.fixture(scope="module")
def out(folder, tmp_path_factory):
    """A training of one epoch, resumed for a second one."""
    out, common = tmp_path_factory.mktemp("training") / "run", ["train", "--out"]
    data = ["--data", str(folder), "--validation", str(folder), "--samples", "1"]
    assert main([*common, str(out), *data, *SLIM, "--epochs", "1"]) == 0
    assert main([*common, str(out), "--resume", "--epochs", "2"]) == 0
    return out


@pytest.mark.slow
def test_keypoints_are_trained(out):
    first, second = json.loads((out / "log").read_text())
    assert 0 < second["main/loss/keypoint"] < first["main/loss/keypoint"]
    ap = second["validation/main/keypoint_ap"]
    assert 0 <= ap <= 1
    best = read_weights(out / "best.npz")[1]["training"]["keypoint_ap"]
    assert best == max(entry["validation/main/keypoint_ap"] for entry in (first, second))
    assert f"Best average precision of keypoints: {best:.4f}" in (out / "report.html").read_text()
    about = json.loads((out / "train.json").read_text())
    assert about["data"]["training"]["keypoints"] == dict(zip(NAMES, (6, 6, 6, 3), strict=True))
    page = (out / "report.html").read_text()
    assert "visible keypoints: 6 left_top, 6 right_top, 6 left_bottom, 3 right_bottom" in page


def test_weights_have_the_names(out):
    model = models.load(out / "last.npz")
    assert model.keypoint_names == tuple(NAMES)
    assert model.n_keypoint == 4
    assert read_weights(out / "last.npz")[1]["arguments"]["keypoint_names"] == NAMES


def test_there_are_as_many_names_as_keypoints():
    rule = r"keypointrcnn_resnet_fpn: keypoint_names must be None or have n_keypoint = 3 entries, got \['tip'\]"
    with pytest.raises(ValueError, match=rule):
        models.keypointrcnn_resnet_fpn(18, n_keypoint=3, keypoint_names=["tip"])


def test_evaluate_has_their_figures(out, folder, tmp_path, capsys):
    files = ["--json", str(tmp_path / "f.json"), "--results", str(tmp_path / "r.json")]
    assert main(["evaluate", "--data", str(folder), "--weights", str(out / "last.npz"), *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "COCO   IoU        area    maxDets  keypoint" in lines
    assert [line.split()[0] for line in lines if " 20 " in line] == [
        *("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
    ]
    figures = json.loads((tmp_path / "f.json").read_text())["coco"]["keypoint"]
    assert 0 <= figures["AP"] <= figures["AR"] <= 1
    results = json.loads((tmp_path / "r.json").read_text())
    assert {len(result["keypoints"]) for result in results} == {12}


def test_a_set_is_shown_and_written_again(folder, tmp_path, capsys):
    assert main(["data", str(folder), "--to", "coco", "--out", str(tmp_path)]) == 0
    assert "visible keypoints: 6 left_top, 6 right_top, 6 left_bottom, 3 right_bottom\n" in capsys.readouterr().out
    first, again = open_dataset(folder), open_dataset(folder, annotations=tmp_path / "instances.json")
    assert again.keypoint_names == tuple(NAMES)
    first.keys = again.keys = ("point", "visible")
    for i in range(len(first)):
        for found, expected in zip(again[i], first[i], strict=True):
            np.testing.assert_array_equal(found, expected)
    with Image.open(tmp_path / "sheet.jpg") as picture:
        shown = np.asarray(picture)
    assert (shown.min(axis=2) < 35).any()  # the dark rims of keypoints, darker than the images


ERRORS = {
    "no keypoints": (
        ["--data", "shapes:4", *SLIM],
        "--model keypointrcnn_resnet_fpn: needs keypoints, the same in all categories, which the data has not",
    ),
    "pasted": (["--data", "{folder}", *SLIM, "--paste", "0.5"], "--paste: must not be given with a model of keypoints"),
    "of one's own": (["--data", "{folder}", *SLIM, "--set", "n_keypoint=3"], "--set n_keypoint: --data and --weights"),
    "one side": (
        ["--data", "{one_side}", *SLIM],
        "--data: names of keypoints must have right_eye beside left_eye, or images cannot be mirrored",
    ),
    "none visible": (["--data", "{hidden}", *SLIM], "--data: has no visible keypoint to learn from"),
}


@pytest.mark.parametrize(("arguments", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_are_one_sentence(arguments, message, folder, tmp_path, capsys):
    hidden, one_side = tmp_path / "hidden", tmp_path / "one_side"
    for place in (hidden, one_side):
        place.mkdir()
        content = write_keypoint_set(place, n=2)
        if place == hidden:
            for entry in content["annotations"]:
                entry["keypoints"] = [0] * 12
        content["categories"][0]["keypoints"] = NAMES if place == hidden else ["left_eye", "a", "b", "c"]
        (place / "a.json").write_text(json.dumps(content))
    names = {"folder": folder, "hidden": hidden, "one_side": one_side}
    filled = [argument.format(**names) for argument in arguments]
    assert main(["train", *filled, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert f"chainfpn train: {message}" in error
    assert error.count("\n") == 1
