"""``chainfpn train``: what it writes, how it stops and goes on, what it says of bad input."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import weights_convert
from chainfpn import models, read_weights, save_weights
from chainfpn.cli.main import main
from chainfpn.data import weights_path
from chainfpn.training import TrainChain
from reference.arrays import assert_same_arrays
from reference.initial_weights import draw_all
from reference.training import SLIM_TRAINING as SLIM

pytestmark = pytest.mark.slow  # whole networks and trainings, all of them together

DATA = ["--data", "shapes:6", "--validation", "shapes:3:1", "--samples", "2"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A finished training of two epochs."""
    out = tmp_path_factory.mktemp("training") / "run"
    assert main(["train", *DATA, *SLIM, "--epochs", "2", "--out", str(out)]) == 0
    return out


def test_everything_is_written(out):
    names = {path.name for path in out.iterdir()}
    files = {
        "train.json",
        "log",
        "losses.png",
        "ap.png",
        "pr.png",
        "best.npz",
        "last.npz",
        "snapshot.npz",
        "report.html",
    }
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
    assert model.preprocess.min_size == 48
    training = read_weights(out / "last.npz")[1]["training"]
    assert (training["epoch"], training["iteration"], training["settings"]["seed"]) == (2, 6, 0)
    weights_convert.convert(out / "best.npz", tmp_path / "best.pth", to="pth")
    back, _, _ = weights_convert.convert_arrays(tmp_path / "best.pth")
    assert_same_arrays(back, read_weights(out / "best.npz")[0])


def test_the_report_needs_no_network(out):
    page = (out / "report.html").read_text()
    assert page.count("<img") == 5
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []
    assert "http" not in re.sub(r'"data:[^"]*"', "", page)
    assert "shapes:6" in page
    assert page.count("<tr><td") == 2


def read_log(folder):
    """Read the log of a training, without the times."""
    entries = json.loads((folder / "log").read_text())
    return [{name: value for name, value in entry.items() if name != "elapsed_time"} for entry in entries]


def assert_equal_weights(found, expected):
    """Compare two files of weights."""
    assert_same_arrays(read_weights(found)[0], read_weights(expected)[0])


def test_a_seed_decides_every_number(out, tmp_path):
    """The first run, again with the same seed and with another one, each of as many epochs."""
    for seed in ("0", "1"):
        assert main(["train", *DATA, *SLIM, "--epochs", "2", "--seed", seed, "--out", str(tmp_path / seed)]) == 0
    first, same, other = map(read_log, (out, tmp_path / "0", tmp_path / "1"))
    assert same == first
    assert_equal_weights(tmp_path / "0" / "last.npz", out / "last.npz")
    for entry, expected in zip(other, first, strict=True):
        assert entry["main/loss"] != expected["main/loss"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of four epochs."""
    out = tmp_path_factory.mktemp("training") / "whole"
    with draw_all():
        assert main(["train", *DATA, *SLIM, "--epochs", "4", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.thorough)])
def test_a_signal_saves_and_resume_goes_on_with_the_same_numbers(number, whole, tmp_path):
    parts = tmp_path / "parts"
    command = [sys.executable, "-m", "chainfpn", "train", *DATA, *SLIM, "--epochs", "4", "--out", str(parts)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert any(line.startswith("epoch 1 ") for line in iter(process.stdout.readline, ""))
    process.send_signal(number)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr.splitlines()[-1] == f"stopped; go on with: chainfpn train --resume --out {parts}"
    with np.load(parts / "snapshot.npz") as snapshot:
        assert 3 <= snapshot["updater/iteration"] < 12
    assert main(["train", "--resume", "--out", str(parts)]) == 0
    assert_equal_weights(parts / "last.npz", whole / "last.npz")
    assert read_log(parts) == read_log(whole)


def test_a_trunk_or_a_detector_to_start_from(out, tmp_path):
    save_weights(tmp_path / "trunk.npz", models.resnet18())
    common = ["--epochs", "1", "--data", "shapes:4", "--no-augment", "--trainable-layers", "3"]
    assert main(["train", *common, *SLIM, "--weights", str(tmp_path / "trunk.npz"), "--out", str(tmp_path / "a")]) == 0
    trunk, trained = (read_weights(path)[0] for path in (tmp_path / "trunk.npz", tmp_path / "a" / "last.npz"))
    np.testing.assert_array_equal(trained["backbone/body/conv1/W"], trunk["conv1/W"])
    assert (trained["backbone/body/layer2/0/conv1/W"] != trunk["layer2/0/conv1/W"]).any()

    (tmp_path / "trunk.npz").unlink()  # what was trained is in the snapshot
    assert main(["train", "--resume", "--epochs", "2", "--out", str(tmp_path / "a")]) == 0
    again = read_weights(tmp_path / "a" / "last.npz")[0]
    np.testing.assert_array_equal(again["backbone/body/conv1/W"], trunk["conv1/W"])
    assert (again["backbone/body/layer2/0/conv1/W"] != trained["backbone/body/layer2/0/conv1/W"]).any()

    weights = ["--weights", str(out / "last.npz")]
    assert main(["train", *common, *weights, "--lr", "0", "--out", str(tmp_path / "b")]) == 0
    assert_equal_weights(tmp_path / "b" / "last.npz", out / "last.npz")


def test_a_torch_trunk_in_half_precision(tmp_path):
    """Beside float16 weights there are float32 ones, which a training that is resumed goes on from."""
    save_weights(tmp_path / "trunk.npz", models.resnet18())
    weights_convert.convert(tmp_path / "trunk.npz", tmp_path / "trunk.pth", to="pth")
    options = ["--data", "shapes:4", "--trainable-layers", "3", "--dtype", "mixed16", "--schedule", "constant"]
    options += ["--weights", str(tmp_path / "trunk.pth"), "--no-augment", *SLIM, "--set", "max_size=48"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["train", *options, "--epochs", "2", "--out", str(whole)]) == 0
    assert main(["train", *options, "--epochs", "1", "--out", str(parts)]) == 0
    assert main(["train", "--resume", "--epochs", "2", "--out", str(parts)]) == 0
    assert_equal_weights(parts / "last.npz", whole / "last.npz")
    trunk, stem = read_weights(tmp_path / "trunk.npz")[0], read_weights(whole / "last.npz")[0]["backbone/body/conv1/W"]
    np.testing.assert_array_equal(stem, trunk["conv1/W"].astype(stem.dtype))
    assert all(0 < entry["main/loss"] < 10 for entry in json.loads((whole / "log").read_text()))
    assert models.load(whole / "last.npz").label_names == ("circle", "square", "triangle")


def test_without_validation_the_samples_are_of_the_training(tmp_path, capsys):
    data = ["--data", "shapes:3", "--samples", "2", "--epochs", "1"]
    assert main(["train", *data, *SLIM, "--out", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().err == (
        "no data to validate with (--validation, --held-out): no AP and no best.npz will be written, and the samples"
        " are of images trained with\n"
    )
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"train.json", "log", "losses.png", "last.npz", "snapshot.npz", "report.html", "samples"}
    assert sorted(path.name for path in (tmp_path / "run" / "samples").iterdir()) == ["1.jpg", "2.jpg"]


def test_a_cascade_reports_the_losses_of_each_stage(tmp_path):
    run = ["--model", "cascade_rcnn_resnet_fpn", "--data", "shapes:2", "--epochs", "1", "--samples", "0"]
    assert main(["train", *run, *SLIM, "--out", str(tmp_path / "run")]) == 0
    (entry,) = json.loads((tmp_path / "run" / "log").read_text())
    assert {f"main/loss/roi_{kind}_stage{i}" for kind in ("class", "box") for i in range(3)} <= entry.keys()
    assert len(models.load(tmp_path / "run" / "last.npz").roi_heads) == 3


def test_more_epochs(out, tmp_path, capsys):
    shutil.copytree(out, tmp_path / "run")
    resume = ["train", "--resume", "--out", str(tmp_path / "run")]
    assert main([*resume, "--epochs", "3"]) == 0
    said = "--epochs 3 instead of 2: from here on the cosine schedule is that of 3 epochs\nepoch 3  step 9 "
    assert capsys.readouterr().out.startswith(said)
    log = json.loads((tmp_path / "run" / "log").read_text())
    assert [entry["iteration"] for entry in log] == [3, 6, 9]
    assert json.loads((tmp_path / "run" / "train.json").read_text())["settings"]["epochs"] == 3
    assert main([*resume, "--epochs", "1"]) == 1
    message = "chainfpn train: --epochs must be at least the number of those that are done, 3, got 1\n"
    assert capsys.readouterr().err == message
    assert main(resume) == 0
    said = f"{tmp_path / 'run'}: epoch 3 was the last; --epochs N goes on\nreport: "
    assert capsys.readouterr().out.startswith(said)


def test_resume_refuses_other_options(out, capsys):
    same = ["--data", "shapes:6", "--lr", "0.005"]
    other = ["--batch", "1", "--train-sizes", "32", "--evaluate-every", "2"]
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--resume", *same, *other, "--out", str(out)])
    assert capsys.readouterr().err.startswith(
        f"chainfpn train: --resume goes on with the options in {out / 'train.json'}, but --batch, --train-sizes would"
        f" change them; schedule and snapshot count steps, so start anew with --weights {out / 'last.npz'}; "
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"settings": null}', '{"settings": ["data"]}'])
def test_what_no_training_wrote_is_not_resumed(text, tmp_path, capsys):
    (tmp_path / "train.json").write_text(text)
    assert main(["train", "--resume", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"chainfpn train: {tmp_path / 'train.json'}: is not what a training wrote\n"


def test_a_second_training_is_not_mixed_with_the_first(out, capsys):
    before = sorted((path.name, path.stat().st_mtime_ns) for path in out.iterdir())
    assert main(["train", *DATA, *SLIM, "--out", str(out)]) == 1
    message = f"chainfpn train: {out}: has a training already; --resume goes on with it, --force removes it, or"
    message += " choose another --out\n"
    assert capsys.readouterr().err == message
    assert sorted((path.name, path.stat().st_mtime_ns) for path in out.iterdir()) == before


def test_a_broken_image_is_reported_and_skipped(shared_data, tmp_path, capsys):
    source, folder = shared_data / "pennfudan", tmp_path / "data"
    for name in ("FudanPed00001", "FudanPed00002", "FudanPed00003"):
        for part, suffix in (("PNGImages", ".png"), ("Annotation", ".txt")):
            (folder / part).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / part / f"{name}{suffix}", folder / part / f"{name}{suffix}")
    broken = folder / "PNGImages" / "FudanPed00002.png"
    broken.write_bytes(b"no picture")
    data = ["--data", str(folder), "--validation", str(folder)]
    assert main(["train", *data, *SLIM, "--epochs", "2", "--batch", "1", "--out", str(tmp_path / "r")]) == 0
    captured = capsys.readouterr()
    assert captured.err.count(str(broken)) == 2  # once of each kind of data
    reason = "images that cannot be read"
    lines = f"left out: 1 {reason}\nleft out to validate with: 1 {reason}\n"
    assert captured.out.count(lines) == 2  # before and after
    assert sorted(path.name for path in (tmp_path / "r" / "samples").iterdir()) == ["1.jpg", "3.jpg"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with walkers, COCO's data, a folder in the place of a file, and weights that are none."""
    monkeypatch.chdir(tmp_path)
    for folder in ("walkers/PNGImages", "walkers/Annotation", "coco/annotations", "coco/val", "taken/last.npz"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (64, 48)).save("walkers/PNGImages/a.png")
    box = 'Objects with ground truth : 1\n"a" (Xmin, Ymin) - (Xmax, Ymax) : (1, 1) - (20, 40)\n'
    (tmp_path / "walkers" / "Annotation" / "a.txt").write_text(box)
    Image.new("RGB", (64, 48)).save("coco/val/a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 40]}],
    }
    (tmp_path / "coco" / "annotations" / "instances_val.json").write_text(json.dumps(content))
    (tmp_path / "garbage.pth").write_bytes(b"no weights")


def test_the_predictors_start_anew_for_other_labels(out, here, tmp_path, capsys):
    arguments = ["--data", "walkers", "--epochs", "1", "--lr", "0", "--batch", "1"]
    assert main(["train", *arguments, "--weights", str(out / "last.npz"), "--out", str(tmp_path / "c")]) == 0
    fresh = "roi_heads/box_predictor/bbox_pred/W, roi_heads/box_predictor/bbox_pred/b, "
    fresh += "roi_heads/box_predictor/cls_score/W, roi_heads/box_predictor/cls_score/b"
    assert f"last.npz: has other labels; {fresh} start anew\n" in capsys.readouterr().out
    assert models.load(tmp_path / "c" / "last.npz").label_names == ("person",)


ERRORS = {
    "no such data": (["--data", "nowhere"], "nowhere: there is no such folder"),
    "nothing to resume": (["--resume"], "train.json: cannot be read (No such file or directory)"),
    "no such model": (["--data", "shapes", "--model", "resnet18"], "--model must be one of fasterrcnn_resnet50_fpn, "),
    "no such option": (["--data", "shapes", "--set", "colour=3"], "fasterrcnn_resnet_fpn: "),
    "no such depth": (["--data", "shapes", "--set", "depth=7"], "train: fasterrcnn_resnet_fpn: depth must be 18, 34, "),
    "no channels": (
        ["--data", "shapes", *SLIM, "--set", "fpn_channels=0"],
        "fasterrcnn_resnet_fpn: fpn_channels must be a whole number >= 1, got 0",
    ),
    "a word for epsilon": (
        ["--data", "shapes", *SLIM, "--set", "norm_eps=abc"],
        "fasterrcnn_resnet_fpn: norm_eps must be a number >= 0, got 'abc'",
    ),
    "labels of one's own": (
        ["--data", "shapes", *SLIM, "--set", "n_fg_class=7"],
        "--set n_fg_class: --data and --weights decide that",
    ),
    "no such loss": (
        ["--data", "shapes", *SLIM, "--loss", "colour=3"],
        "--loss: there is no colour for this model, but rpn_pre_nms_top_n_train, ",
    ),
    "a function": (["--data", "shapes", *SLIM, "--loss", "permutation=3"], "--loss: there is no permutation for "),
    "crossed thresholds": (
        ["--data", "shapes", *SLIM, "--loss", "box_fg_iou_thresh=0.3"],
        "--loss: box_fg_iou_thresh must be at least box_bg_iou_thresh, 0.5, got 0.3",
    ),
    "a threshold that is none": (
        ["--data", "shapes", *SLIM, "--loss", "box_fg_iou_thresh=NaN"],
        "--loss: box_fg_iou_thresh must be in 0 to 1, got nan",
    ),
    "a word for a number": (
        ["--data", "shapes", *SLIM, "--loss", "rpn_batch_size_per_image=abc"],
        "--loss: rpn_batch_size_per_image must be a whole number >= 1, got abc",
    ),
    "weights that are none": (["--data", "shapes", "--weights", "garbage.pth"], "garbage.pth: "),
    "a folder for a file": (
        ["--data", "shapes:4", *SLIM, "--out", "taken"],
        "taken/last.npz: is a folder and cannot be written",
    ),
    "two kinds of labels": (
        ["--data", "shapes:4", "--data", "walkers"],
        "--data: all must have the same labels, which --names can choose, got circle, square, triangle in shapes:4 and "
        "person in walkers",
    ),
    "no label in common": (
        ["--data", "shapes:4", *SLIM, "--validation", "walkers"],
        "--validation: detector and data must have a label in common, got circle, square, triangle and person",
    ),
    "no masks": (["--data", "walkers", *SLIM, "--model", "maskrcnn_resnet_fpn"], "needs masks, which the data has not"),
    "no normalization": (
        ["--data", "shapes:4", *SLIM, "--set", "norm=group", "--recompute-statistics", "2"],
        "--recompute-statistics: fasterrcnn_resnet_fpn has no batch normalization in its trunk",
    ),
    "no ResNet": (
        ["--data", "shapes:4", "--model", "ssd300_vgg16", "--recompute-statistics", "2"],
        "--recompute-statistics: ssd300_vgg16 has no batch normalization in its trunk",
    ),
    "no choice of sizes": (
        ["--data", "shapes:4", "--model", "ssd300_vgg16", "--train-sizes", "200"],
        "--train-sizes is not for ssd300_vgg16, which sees every image as 300 x 300 pixels",
    ),
    "too large sizes": (
        ["--data", "shapes:4", *SLIM, "--train-sizes", "48,65"],
        "--train-sizes must be at most the limit of the longer side, 64 (--set max_size=N), got 65",
    ),
    "nobody to normalize with": (
        ["--data", "shapes:4", *SLIM, "--set", "norm=sync"],
        "--set norm=sync normalizes over the processes of --mpi",
    ),
    "no such weights": (["--data", "shapes", "--weights", "nowhere.npz"], "nowhere.npz: there is no such file"),
    "weights of another model": (
        ["--data", "shapes", "--weights", str(weights_path()), "--model", "retinanet_resnet_fpn"],
        "person.npz: is of fasterrcnn_resnet_fpn, whose options another model may lack: retinanet_resnet_fpn: ",
    ),
    "too large a batch": (
        ["--data", "shapes:3", *SLIM, "--batch", "4"],
        "--batch must be at most the number of images",
    ),
    "too many layers": (
        ["--data", "shapes", *SLIM, "--trainable-layers", "6"],
        "--trainable-layers: freeze_backbone: ",
    ),
    "too many layers to try": (
        ["--data", "shapes", *SLIM, "--trainable-layers", "6", "--dry-run"],
        "--trainable-layers: freeze_backbone: ",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_are_one_sentence(arguments, message, here, capsys):
    before = sorted(pathlib.Path().iterdir())
    assert main(["train", "--out", "runs/out", *arguments]) == 1
    assert sorted(pathlib.Path().iterdir()) == before
    error = capsys.readouterr().err
    assert error.startswith("chainfpn train: ")
    assert message in error
    assert error.count("\n") == 1


USAGE = {
    "a part of nothing": (["--validation-split", "val"], "--validation-split needs --validation"),
    "two validations": (
        ["--held-out", "a", "--validation", "b"],
        "--held-out and --validation must not be given together",
    ),
    "more pastes than images": (["--paste", "-1"], "--paste: must be in 0 to 1, got -1"),
    "more crops than images": (["--crop", "1.5"], "--crop: must be in 0 to 1, got 1.5"),
    "no such device": (["--device", "tpu"], "--device: must be cpu or cuda:N, got tpu"),
    "no clipping": (["--clip", "0"], "--clip: must be > 0, got 0"),
    "backwards": (["--lr", "-1"], "--lr: must be >= 0, got -1"),
    "no number": (["--lr", "nan"], "--lr: must be >= 0, got nan"),
    "no end": (["--weight-decay", "inf"], "--weight-decay: must be >= 0, got inf"),
    "too large a seed": (["--seed", "9999999999"], "--seed: must be <= 2147483648, got 9999999999"),
    "no value": (["--set", "depth"], "--set: must be KEY=VALUE, got depth"),
    "no steps": (["--milestones", "2"], "--milestones needs --schedule step, got cosine"),
}


@pytest.mark.parametrize(("arguments", "message"), USAGE.values(), ids=USAGE)
def test_a_wrong_command_line_is_no_traceback(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--data", "shapes", *arguments, "--out", str(tmp_path / "out")])
    assert capsys.readouterr().err == f"chainfpn train: {message}; chainfpn train --help lists the options\n"


def test_of_many_misshapen_weights_some_are_named(out, tmp_path, capsys):
    weights = ["--weights", str(out / "last.npz"), "--set", "fpn_channels=16"]
    assert main(["train", *DATA, *weights, "--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("chainfpn train: last.npz: backbone/fpn/")
    assert len(lines) == 6
    assert re.fullmatch(r"\.\.\. and \d+ more", lines[5])


def test_masks_of_coco_need_pycocotools(here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    assert main(["train", "--data", "coco", *SLIM, "--model", "maskrcnn_resnet_fpn", "--out", "out"]) == 1
    message = "--model maskrcnn_resnet_fpn: COCO's masks need pycocotools; pip install 'chainfpn[coco]'"
    assert capsys.readouterr().err == f"chainfpn train: {message}\n"


def _fail(error):
    def total(self, losses):
        raise error

    return total


def test_too_little_memory_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(TrainChain, "total", _fail(MemoryError()))
    assert main(["train", *DATA, *SLIM, "--out", str(tmp_path / "out")]) == 1
    message = "the memory does not suffice; a smaller --batch or smaller images need less"
    assert capsys.readouterr().err == f"chainfpn train: {message}\n"


def test_a_bug_shows_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(TrainChain, "total", _fail(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        main(["train", *DATA, *SLIM, "--out", str(tmp_path / "out")])
