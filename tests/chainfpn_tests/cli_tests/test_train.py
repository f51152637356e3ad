"""``chainfpn train``: what it writes, how it stops and goes on, what it says of bad input."""

import json
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import weights_convert
from chainfpn import models, read_weights
from chainfpn.cli.main import main

SLIM = [
    *("--set", "depth=18", "--set", "stages=[1,2]", "--set", "fpn_channels=8", "--set", "head_channels=8"),
    *("--set", "min_size=48", "--set", "max_size=64", "--loss", "box_batch_size_per_image=16", "--warm-up", "2"),
]
DATA = ["--data", "shapes:6", "--validation", "shapes:3:1", "--samples", "2"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A finished training of two epochs."""
    out = tmp_path_factory.mktemp("training") / "run"
    assert main(["train", *DATA, *SLIM, "--epochs", "2", "--out", str(out)]) == 0
    return out


def test_everything_is_written(out):
    names = {path.name for path in out.iterdir()}
    files = {"train.json", "log", "losses.png", "ap.png", "best.npz", "last.npz", "snapshot.npz", "report.html"}
    assert names == {*files, "samples"}
    assert sorted(path.name for path in (out / "samples").iterdir()) == ["1.jpg", "2.jpg"]
    log = json.loads((out / "log").read_text())
    assert [entry["iteration"] for entry in log] == [3, 6]
    for entry in log:
        losses = {name: value for name, value in entry.items() if name.startswith("main/loss/")}
        assert len(losses) == 4
        assert sum(losses.values()) == pytest.approx(entry["main/loss"], rel=1e-5)
        assert 0 <= entry["validation/main/map"] <= 1
    for name in ("losses.png", "ap.png"):
        with Image.open(out / name) as picture:
            assert len(np.unique(np.asarray(picture))) > 10


def test_the_weights_say_what_they_are(out, tmp_path):
    model = models.load(out / "best.npz")
    assert model.label_names == ("circle", "square", "triangle")
    assert model.preparation.min_sizes == (48,)
    training = read_weights(out / "last.npz")[1]["training"]
    assert (training["epoch"], training["iteration"], training["settings"]["seed"]) == (2, 6, 0)
    weights_convert.convert(out / "best.npz", tmp_path / "best.pth", to="pth")
    back, _, _ = weights_convert.convert_arrays(tmp_path / "best.pth")
    for name, array in read_weights(out / "best.npz")[0].items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)


def test_the_report_needs_no_network(out):
    page = (out / "report.html").read_text()
    assert page.count("<img") == 4
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []
    assert "http" not in re.sub(r'"data:[^"]*"', "", page)
    assert "shapes:6" in page
    assert page.count("<tr><td") == 2


def test_no_two_seeds_are_the_same(out, tmp_path):
    for seed in ("0", "1"):
        assert main(["train", *DATA, *SLIM, "--epochs", "1", "--seed", seed, "--out", str(tmp_path / seed)]) == 0
    first = json.loads((out / "log").read_text())[0]["main/loss"]
    assert json.loads((tmp_path / "1" / "log").read_text())[0]["main/loss"] != first


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_resume_goes_on_with_the_same_numbers(number, tmp_path):
    command = [sys.executable, "-m", "chainfpn", "train", *DATA, *SLIM, "--epochs", "4", "--out"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    process = subprocess.Popen([*command, str(parts)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("epoch 1 ")
    process.send_signal(number)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr.splitlines()[-1] == f"stopped; go on with: chainfpn train --resume --out {parts}"
    with np.load(parts / "snapshot.npz") as snapshot:
        assert 3 <= snapshot["updater/iteration"] < 12
    subprocess.run([*command[:4], "--resume", "--out", str(parts)], check=True, capture_output=True)
    expected, found = ({**read_weights(folder / "last.npz")[0]} for folder in (whole, parts))
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)
    logs = [json.loads((folder / "log").read_text()) for folder in (whole, parts)]
    for entries in logs:
        for entry in entries:
            del entry["elapsed_time"]
    assert logs[0] == logs[1]


def test_a_trunk_or_a_detector_to_start_from(out, tmp_path, capsys):
    from chainfpn import save_weights

    save_weights(tmp_path / "trunk.npz", models.resnet18())
    common = ["--epochs", "1", "--data", "shapes:4", "--no-augment", "--trainable-layers", "3"]
    assert main(["train", *common, *SLIM, "--weights", str(tmp_path / "trunk.npz"), "--out", str(tmp_path / "a")]) == 0
    trunk, trained = (read_weights(path)[0] for path in (tmp_path / "trunk.npz", tmp_path / "a" / "last.npz"))
    np.testing.assert_array_equal(trained["backbone/body/conv1/W"], trunk["conv1/W"])
    assert (trained["backbone/body/layer2/0/conv1/W"] != trunk["layer2/0/conv1/W"]).any()
    weights = ["--weights", str(out / "last.npz")]
    assert main(["train", *common, *weights, "--lr", "0", "--out", str(tmp_path / "b")]) == 0
    again, before = (read_weights(path)[0] for path in (tmp_path / "b" / "last.npz", out / "last.npz"))
    for name, array in before.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_the_predictors_start_anew_for_other_labels(out, shared_data, tmp_path, capsys):
    arguments = ["--data", str(shared_data / "pennfudan"), "--epochs", "1", "--lr", "0", "--batch", "85"]
    assert main(["train", *arguments, "--weights", str(out / "last.npz"), "--out", str(tmp_path / "c")]) == 0
    fresh = "roi_heads/box_predictor/bbox_pred/W, roi_heads/box_predictor/bbox_pred/b, "
    fresh += "roi_heads/box_predictor/cls_score/W, roi_heads/box_predictor/cls_score/b"
    assert f"last.npz: has other labels; {fresh} start anew\n" in capsys.readouterr().out
    assert models.load(tmp_path / "c" / "last.npz").label_names == ("person",)


def test_a_broken_image_is_reported_and_skipped(shared_data, tmp_path, capsys):
    source, folder = shared_data / "pennfudan", tmp_path / "data"
    for name in ("FudanPed00001", "FudanPed00002", "FudanPed00003"):
        for part, suffix in (("PNGImages", ".png"), ("Annotation", ".txt")):
            (folder / part).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / part / f"{name}{suffix}", folder / part / f"{name}{suffix}")
    broken = folder / "PNGImages" / "FudanPed00002.png"
    broken.write_bytes(b"no picture")
    assert (
        main(["train", "--data", str(folder), *SLIM, "--epochs", "2", "--batch", "1", "--out", str(tmp_path / "r")])
        == 0
    )
    captured = capsys.readouterr()
    assert captured.err.count(str(broken)) == 1
    assert "left out: 1 images, 0 boxes\n" in captured.out


ERRORS = {
    "no data": ([], "--data is needed, except with --resume"),
    "no such data": (["--data", "nowhere"], "nowhere: there is no such folder"),
    "nothing to resume": (["--resume"], "train.json: cannot be read (No such file or directory)"),
    "no such model": (["--data", "shapes", "--model", "resnet18"], "--model must be one of fasterrcnn_resnet50_fpn, "),
    "no such option": (["--data", "shapes", "--set", "colour=3"], "fasterrcnn_resnet_fpn: "),
    "no such loss": (["--data", "shapes", *SLIM, "--loss", "colour=3"], "--loss: "),
    "no such weights": (["--data", "shapes", "--weights", "nowhere.npz"], "nowhere.npz: No such file or directory"),
    "too large a batch": (
        ["--data", "shapes:3", *SLIM, "--batch", "4"],
        "--batch must be at most the number of images",
    ),
    "too many layers": (
        ["--data", "shapes", *SLIM, "--trainable-layers", "6"],
        "--trainable-layers: freeze_backbone: ",
    ),
    "two validations": (["--data", "shapes", "--held-out", "a", "--validation", "b"], "must not be given together"),
    "more crops than images": (["--data", "shapes", "--crop", "1.5"], "--crop must be in 0 to 1, got 1.5"),
    "no such device": (["--data", "shapes", "--device", "tpu"], "--device must be cpu or cuda:N, got tpu"),
}


@pytest.mark.parametrize(("arguments", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_are_one_sentence(arguments, message, tmp_path, capsys):
    assert main(["train", *arguments, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("chainfpn train: ")
    assert message in error
    assert error.count("\n") == 1
