"""What a training prints and keeps by the way, and how it ends before its end."""

import argparse
import json

import numpy as np
import pytest

from chainfpn import read_weights
from chainfpn.cli.main import main
from chainfpn.cli.training_resume import Stop
from chainfpn.training import EarlyStopping, StepLog
from reference.arrays import assert_same_arrays
from reference.training import SLIM_TRAINING

pytestmark = pytest.mark.slow  # whole networks and trainings, all of them together

SLIM = [*SLIM_TRAINING, "--samples", "0"]
DATA = ["--data", "shapes:6", "--validation", "shapes:2:1"]
HABITS = ["--log-every", "3", "--snapshot-every", "1steps", "--keep", "3", "--ema", "0.5", "--evaluate-every", "2steps"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A training of two epochs, three steps each."""
    out = tmp_path_factory.mktemp("training") / "run"
    assert main(["train", *DATA, *SLIM, *HABITS, "--epochs", "2", "--out", str(out)]) == 0
    return out


def weights(folder, name="last.npz"):
    return read_weights(folder / name)[0]


def test_every_third_step_is_logged(out):
    lines = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
    assert [(line["iteration"], line["epoch"]) for line in lines] == [(3, 1.0), (6, 2.0)]
    log = {entry["iteration"]: entry for entry in json.loads((out / "log").read_text())}
    assert sorted(log) == [2, 3, 4, 6]  # evaluations and ends of epochs
    assert [step for step, entry in log.items() if "validation/main/map" in entry] == [2, 3, 4, 6]
    mean = (2 * log[2]["main/loss"] + log[3]["main/loss"]) / 3
    assert lines[0]["main/loss"] == pytest.approx(mean)
    assert lines[1]["seconds_left"] == 0 < lines[0]["seconds_left"]
    for line in lines:
        assert 0 <= line["waiting"] < 1
        assert line["images_per_second"] > 0.01
        assert 0.01 < line["memory"] < 100
    assert lines[1]["lr"] < 0.005


def test_the_last_snapshots_are_kept(out):
    names = ("snapshot.npz", "snapshot_5.npz", "snapshot_4.npz")
    assert {path.name for path in out.glob("snapshot*")} == set(names)
    for name, step in zip(names, (6, 5, 4), strict=True):
        with np.load(out / name) as file:
            assert file["updater/iteration"] == step


def test_averaged_weights_are_saved_and_the_others_trained(out):
    with np.load(out / "snapshot.npz") as file:
        trained = {k.partition("model:main/")[2]: file[k] for k in file.files if "model:main/" in k}
    name = next(key for key in weights(out) if key.startswith("backbone/fpn/") and key.endswith("/W"))
    saved, own = weights(out)[name], trained[f"model/{name}"]
    assert (saved != own).any()
    np.testing.assert_allclose(saved, own, atol=0.1)


def test_a_config_repeats_a_training(out, tmp_path):
    again = tmp_path / "again"
    assert main(["train", "--config", str(out / "train.json"), "--out", str(again)]) == 0
    assert_same_arrays(weights(again), weights(out))
    settings = [json.loads((folder / "train.json").read_text())["settings"] for folder in (out, again)]
    assert settings[0] == settings[1]


BAD = {
    "no file": (None, 1, "c.json: cannot be read (No such file or directory)"),
    "no JSON": ("lr=3", 1, "c.json: is not JSON (Expecting value: line 1 column 1 (char 0))"),
    "a list": ("[]", 1, "c.json: must be a JSON object of options, or a train.json"),
    "no such option": ('{"colour": 3}', 2, "c.json: unrecognized arguments: --colour=3"),
    "a bad value": ('{"lr": -1}', 2, "c.json: --lr: must be >= 0, got -1"),
    "another run's": ('{"settings": {"samples": 0.5}}', 2, "c.json: --samples: invalid number value: '0.5'"),
}


@pytest.mark.parametrize(("text", "status", "message"), BAD.values(), ids=BAD)
def test_a_config_is_checked_as_the_command_line_is(text, status, message, tmp_path, capsys):
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text)
    command = ["train", *DATA, "--config", str(path), "--out", str(tmp_path / "out")]
    if status == 2:
        with pytest.raises(SystemExit, match="2"):
            main(command)
    else:
        assert main(command) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    assert main(["train", *DATA, *SLIM, "--dry-run", "--out", str(tmp_path / "out")]) == 0
    *_, losses, last = capsys.readouterr().out.splitlines()
    values = dict(zip(*[iter(losses.split())] * 2, strict=True))
    total = float(values.pop("loss"))
    assert len(values) == 4
    assert sum(map(float, values.values())) == pytest.approx(total, abs=1e-3)
    assert last.startswith("a step of 2 images takes ")
    assert list(tmp_path.iterdir()) == []


def test_overfit_trains_on_a_few_images_and_validates_with_them(tmp_path, capsys):
    command = ["train", "--data", "shapes:6", *SLIM, "--overfit", "2", "--epochs", "1"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    about = json.loads((tmp_path / "out" / "train.json").read_text())
    assert about["images"] == {"training": 2, "validation": 2}
    assert about["data"]["training"] == about["data"]["validation"]
    (entry,) = json.loads((tmp_path / "out" / "log").read_text())
    assert entry["iteration"] == 1
    assert 0 <= entry["validation/main/map"] <= 1
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--validation", "shapes:2", "--out", str(tmp_path / "other")])
    assert "--overfit validates with what it trains with" in capsys.readouterr().err


def test_when_the_time_is_up_it_is_saved(tmp_path, capsys):
    command = ["train", *DATA, *SLIM, "--epochs", "1", "--time-limit", "0.00001", "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert f"stopped; go on with: chainfpn train --resume --out {tmp_path / 'out'}\n" in capsys.readouterr().err
    assert main(["train", "--resume", "--time-limit", "100", "--out", str(tmp_path / "out")]) == 0
    assert "epoch 1  step 3 " in capsys.readouterr().out


def _trainer(**observation):
    return argparse.Namespace(observation=observation, updater=argparse.Namespace(epoch=0))


def test_it_ends_when_it_no_longer_becomes_better():
    early = EarlyStopping("ap", 2)
    stop = Stop(10, None, early=early)
    ends = []
    for figure in (0.3, 0.2, None, 0.4, 0.4, float("nan"), 0.1):
        early(_trainer() if figure is None else _trainer(ap=figure))
        ends.append(stop(_trainer()))
    assert ends == [False] * 6 + [True]
    assert (stop.ended_early, stop.requested) == (True, False)


def test_lines_of_steps_that_are_to_come_are_dropped(tmp_path):
    path = tmp_path / "steps.jsonl"
    path.write_text('{"iteration": 2}\n{"iteration": 4}\n{"iteration": 6}\n{"iterat')
    log = StepLog(path, every=2, n_images=2, n_steps=8)
    log.initialize(argparse.Namespace(updater=argparse.Namespace(iteration=4)))
    assert path.read_text() == '{"iteration": 2}\n{"iteration": 4}\n'


def test_patience_needs_something_to_compare(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--data", "shapes:4", "--patience", "2", "--out", str(tmp_path / "out")])
    assert "--patience needs --validation, --held-out or --overfit" in capsys.readouterr().err


def test_workers_read_ahead_and_their_number_may_change(tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    command = ["train", "--data", "shapes:6", *SLIM, "--schedule", "constant", "--log-every", "3"]
    assert main([*command, "--epochs", "2", "--workers", "1", "--out", str(whole)]) == 0
    assert main([*command, "--epochs", "1", "--workers", "2", "--out", str(parts)]) == 0
    assert main(["train", "--resume", "--epochs", "2", "--workers", "1", "--out", str(parts)]) == 0
    assert_same_arrays(weights(parts), weights(whole))
    for workers, epochs in ((0, 3), (1, 4)):
        capsys.readouterr()
        assert main(["train", "--resume", "--workers", str(workers), "--epochs", str(epochs), "--out", str(parts)]) == 0
        lines = capsys.readouterr().out.splitlines()
        sentence = "--workers: from here on images are changed by other random numbers than without --resume"
        assert lines[:2] == [sentence, f"--workers {workers} instead of {1 - workers} from here on"]
        assert lines[2].startswith(f"step {3 * epochs}/")
