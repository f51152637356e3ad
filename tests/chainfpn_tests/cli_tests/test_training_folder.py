"""A folder of a training is never a dead end, and never that of two."""

import argparse
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from chainfpn import read_weights
from chainfpn.cli.errors import CommandError
from chainfpn.cli.main import main
from chainfpn.cli.training_folder import own_folder
from chainfpn.cli.training_resume import _common_file
from chainfpn.training import Snapshot, TrainChain
from reference.arrays import assert_same_arrays
from reference.initial_weights import draw_all
from reference.training import SLIM_TRAINING

SLIM = [*SLIM_TRAINING, "--epochs", "2", "--samples", "0"]


@pytest.fixture
def data(tmp_path):
    """Six images in COCO's form, and the options that name them."""
    folder = tmp_path / "here"
    (folder / "images").mkdir(parents=True)
    for i in range(6):
        pixels = np.full((48, 64, 3), 30 * i, dtype=np.uint8)
        pixels[8:30, 10 + i : 40] = 255 - 30 * i
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [10 + i, 8, 30 - i, 22]} for i in range(6)]
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(6)]
    content = {"images": images, "categories": [{"id": 1, "name": "a"}], "annotations": boxes}
    (folder / "a.json").write_text(json.dumps(content))
    return folder


def options(folder):
    return ["--data", str(folder / "images"), "--annotations", str(folder / "a.json")]


def fail_at(monkeypatch, step, error):
    """Let the loss of a step fail."""
    total, steps = TrainChain.total, []

    def count(self, losses):
        steps.append(None)
        if len(steps) == step:
            raise error
        return total(self, losses)

    monkeypatch.setattr(TrainChain, "total", count)


def assert_equal_weights(found, expected):
    assert_same_arrays(*(read_weights(folder / "last.npz")[0] for folder in (found, expected)))


@pytest.mark.slow
def test_killed_in_the_first_epoch_and_in_the_second_and_resumed_on_another_path(data, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with draw_all():
        assert main(["train", *options(data), *SLIM, "--out", str(whole)]) == 0
    script = (
        "import os, sys; from chainfpn.cli.main import main; from chainfpn.training import Snapshot\n"
        "call, n = Snapshot.__call__, [int(sys.argv.pop())]\n"
        "def kill(self, trainer):\n"
        "    call(self, trainer); n[0] -= 1\n"
        "    if not n[0]: os.kill(os.getpid(), 9)\n"
        "Snapshot.__call__ = kill; main()"
    )
    command = ["train", *options(data), *SLIM, "--snapshot-every", "0.000001", "--out", str(parts)]
    for arguments, n_steps in ((command, "2"), (["train", "--resume", "--out", str(parts)], "2")):
        process = subprocess.run([sys.executable, "-c", script, *arguments, n_steps], check=False)
        assert process.returncode == -signal.SIGKILL
    with np.load(parts / "snapshot.npz") as file:
        assert file["updater/iteration"] == 4
    moved = data.rename(tmp_path / "there")
    assert main(["train", "--resume", *options(moved), "--out", str(parts)]) == 0
    assert_equal_weights(parts, whole)
    names = {"train.json", "log", "losses.png", "last.npz", "snapshot.npz", "report.html"}
    assert {path.name for path in parts.iterdir()} == names


def test_without_a_snapshot_it_begins_at_the_first_step_with_a_smaller_batch(data, tmp_path, monkeypatch, capsys):
    whole, parts, smaller = tmp_path / "whole", tmp_path / "parts", ["--batch", "1"]
    assert main(["train", *options(data), *SLIM, *smaller, "--out", str(whole)]) == 0
    with monkeypatch.context() as context:
        fail_at(context, 1, MemoryError())
        assert main(["train", *options(data), *SLIM, "--out", str(parts)]) == 1
    assert {path.name for path in parts.iterdir()} == {"train.json"}
    capsys.readouterr()
    assert main(["train", "--resume", *smaller, "--out", str(parts)]) == 0
    assert capsys.readouterr().out.startswith(
        f"{parts}: has no snapshot yet; the training begins at step 0\nno --weights: "
    )
    assert_equal_weights(parts, whole)


def test_a_loss_that_is_not_finite_names_step_and_images_and_another_rate_goes_on(data, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    (data / "images" / "2.png").write_bytes(b"no picture")
    with monkeypatch.context() as context:
        fail_at(context, 2, FloatingPointError("FasterRCNN: every loss must be finite, but loss/roi_box is nan"))
        assert main(["train", *options(data), *SLIM, "--batch", "6", "--out", str(out)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    begin, files = error.split(" of ", 1)
    files, reason = files.split(": ", 1)
    assert begin == "chainfpn train: step 2"
    assert sorted(files.split(", ")) == [str(data / "images" / f"{i}.png") for i in (0, 1, 3, 4, 5)]
    assert reason.startswith("FasterRCNN: every loss must be finite, but loss/roi_box is nan; go on before")
    assert main(["train", "--resume", "--lr", "0.001", "--lr-batch", "6", "--out", str(out)]) == 0
    changes = "--lr 0.001 instead of 0.005 from here on\n--lr-batch 6 instead of the default from here on\n"
    assert capsys.readouterr().out.startswith(f"{changes}epoch 2  step 2 ")


def test_other_data_are_not_resumed(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["train", *options(data), *SLIM, "--epochs", "1", "--out", str(out)]) == 0
    content = json.loads((data / "a.json").read_text())
    content["annotations"][0]["bbox"][0] += 1
    (data / "b.json").write_text(json.dumps(content))
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    assert main(["train", "--resume", "--annotations", str(data / "b.json"), "--epochs", "2", "--out", str(out)]) == 1
    assert capsys.readouterr().err == (
        "chainfpn train: --resume: --data must have the content that the training began with (names, sizes, boxes and"
        " labels); images then and now: 6 and 6\n"
    )
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_force_removes_what_was_there(data, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "samples").mkdir(parents=True)
    ours = ("train.json", "snapshot-1.npz", "snapshot.npz.part", "best.npz", "samples/7.jpg")
    for name in (*ours, "mine.txt", "samples/mine.png"):
        (out / name).write_text("old")
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--resume", "--force", "--out", str(out)])
    assert "--resume and --force must not be given together" in capsys.readouterr().err
    assert main(["train", *options(data), *SLIM, "--epochs", "1", "--force", "--out", str(out)]) == 0
    assert [name for name in ours[1:] if (out / name).exists()] == []
    assert json.loads((out / "train.json").read_text())["images"]["training"] == 6
    assert [(out / name).read_text() for name in ("mine.txt", "samples/mine.png")] == ["old", "old"]


HOLD = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); f.write('process 7 on here')"
HOLD += "; f.flush(); print('held', flush=True); sys.stdin.read()"


def test_one_training_at_a_time(data, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-c", HOLD, str(out / "lock")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    try:
        assert main(["train", *options(data), *SLIM, "--force", "--out", str(out)]) == 1
        message = f"chainfpn train: {out}: another training runs in it, process 7 on here\n"
        assert capsys.readouterr().err == message
    finally:
        holder.kill()
        holder.communicate()
    assert (out / "lock").exists()
    with own_folder(out, empty=False):
        assert (out / "lock").read_text().startswith("process ")
    assert list(out.iterdir()) == []


def test_what_a_killed_run_left_is_removed(tmp_path):
    left = (".train.json.0123abcd", "last.npz.0123abcd.part", "samples/.1.jpg.0123abcd", "logk3_x9abc/log")
    kept = ("snapshot.npz", "snapshot.npz.part", "log", "logbook.txt", "samples/1.jpg", "notes.part")
    for name in (*left, *kept):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    with own_folder(tmp_path, empty=False):
        assert [name for name in left if (tmp_path / name).exists()] == []
        assert [name for name in kept if not (tmp_path / name).exists()] == []
    assert not (tmp_path / "logk3_x9abc").exists()


def _snapshot(folder, rank, others, steps):
    """Return a snapshot of a process whose files are of certain steps, and that meets others."""
    comm = argparse.Namespace(rank=rank, mpi_comm=argparse.Namespace(allgather=lambda own: [own, *others]))
    snapshot = Snapshot(folder / "snapshot.npz", comm=comm)
    for path, step in zip((snapshot.path, snapshot.complete_path), steps, strict=False):
        with open(path, "wb") as file:
            np.savez(file, **{"updater/iteration": step})
    return snapshot


def test_processes_killed_between_two_snapshots_take_the_last_that_all_have(tmp_path):
    snapshot = _snapshot(tmp_path, 1, [[20]], [10, 20])  # the other process has put its file in place already
    assert _common_file(snapshot) == tmp_path / "snapshot-1.npz.part"
    shutil.move(snapshot.complete_path, snapshot.path)
    assert _common_file(snapshot) == tmp_path / "snapshot-1.npz"
    with pytest.raises(CommandError, match="must be of one step, got steps 20 and 30"):
        _common_file(_snapshot(tmp_path, 1, [[30]], [20]))
