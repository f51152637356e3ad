"""Commands on several processes of ``mpiexec``: what happens when one of them cannot go on."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from chainfpn import models, read_weights
from chainfpn.cli.main import main
from chainfpn.data import weights_path
from chainfpn.datasets import open_dataset
from chainfpn.training import DetectionEvaluator
from reference.processes import ENVIRONMENT, SECONDS, mpiexec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("mpi")]

SLIM = ["depth=18", "stages=[1,2]", "fpn_channels=8", "head_channels=8", "min_size=48", "max_size=48"]
TRAIN = [
    *("-m", "chainfpn", "train", "--mpi", "--data", "shapes:8", "--loss", "box_batch_size_per_image=16"),
    *(part for option in SLIM for part in ("--set", option)),
]
DYING = pathlib.Path(__file__).parents[2] / "reference" / "dying_process.py"


def own_words(stderr):
    """Return what the commands themselves said, without what mpiexec adds, a rule of dashes even to their lines."""
    lines = [line.partition("-----")[0] for line in stderr.splitlines()]
    return [line for line in lines if line.startswith("chainfpn ") or "Traceback" in line]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, mpi):
    """A training of one epoch in two processes that normalize both batches together: its folder, and what it said."""
    out = tmp_path_factory.mktemp("training") / "run"
    options = ["--set", "norm=sync", "--validation", "shapes:3:1", "--recompute-statistics", "4"]
    done = mpiexec(2, *TRAIN, *options, "--batch", "2", "--epochs", "1", "--out", out)
    return out, done.stdout


@pytest.fixture(scope="module")
def out(trained):
    """The folder of that training."""
    return trained[0]


def test_a_training_evaluates_and_writes_once(trained):
    out, said = trained
    lines = [line.split() for line in said.splitlines()]
    assert [line[0] for line in lines[:6]] == ["no", "class", "circle", "square", "triangle", "(no"]
    assert lines[6][:4] == ["epoch", "1", "step", "2"]
    (entry,) = json.loads((out / "log").read_text())
    assert 0 <= entry["validation/main/map"] <= 1
    assert {"snapshot.npz", "snapshot-1.npz", "best.npz", "report.html"} <= set(os.listdir(out))
    first, second = (np.load(out / name) for name in ("snapshot.npz", "snapshot-1.npz"))
    with first, second:
        weights = [name for name in first.files if name.startswith("updater/model:main/")]
        assert len(weights) > 50
        for name in weights:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_what_all_get_wrong_is_said_once(tmp_path):
    done = mpiexec(2, *TRAIN[:4], "--data", "nowhere", "--out", tmp_path / "run", status=1)
    assert own_words(done.stderr) == ["chainfpn train: nowhere: there is no such folder"]


def test_gpus_need_nccl(tmp_path):
    """It is missing here even where there are GPUs: CuPy is hidden."""
    hidden = "import sys; sys.modules['cupy'] = None; from chainfpn.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = mpiexec(2, "-c", hidden, *TRAIN[2:], "--device", "cuda", "--out", tmp_path / "run", status=1)
    (line,) = own_words(done.stderr)
    assert line.startswith("chainfpn train: --mpi on GPUs needs a CuPy that has NCCL (")


def test_one_that_cannot_resume_ends_all(out, tmp_path):
    shutil.copytree(out, tmp_path / "run")
    (tmp_path / "run" / "snapshot-1.npz").unlink()
    done = mpiexec(2, *TRAIN[:4], "--resume", "--out", tmp_path / "run", status=1)
    assert own_words(done.stderr) == [
        f"chainfpn train: {tmp_path / 'run' / 'snapshot-1.npz'}: No such file or directory"
    ]


def test_snapshots_of_different_steps_are_refused(out, tmp_path):
    shutil.copytree(out, tmp_path / "run")
    path = tmp_path / "run" / "snapshot-1.npz"
    with np.load(path) as snapshot:
        arrays = {**snapshot, "updater/iteration": np.asarray(1)}
    np.savez(path, **arrays)
    done = mpiexec(2, *TRAIN[:4], "--resume", "--out", tmp_path / "run", status=1)
    message = "chainfpn train: --resume: the snapshots of all processes must be of one step, got steps 1 and 2"
    assert own_words(done.stderr) == [message]


def test_another_number_of_processes_is_refused(out, tmp_path):
    shutil.copytree(out, tmp_path / "run")
    settings = tmp_path / "run" / "train.json"
    settings.write_text(settings.read_text().replace("norm=sync", "norm=batch"))  # which one process can do, too
    done = mpiexec(1, *TRAIN[:3], "--resume", "--out", tmp_path / "run", status=1)
    message = "chainfpn train: --resume: the training had 2 processes and must have as many now, not 1"
    assert own_words(done.stderr) == [message]


@pytest.mark.thorough
def test_the_log_tells_of_all_processes(tmp_path):
    """The losses of a RetinaNet are means over images, and nothing in them is random."""
    options = ["depth=18", "stages=[2,3]", "fpn_channels=8", "min_size=48", "max_size=48"]
    options = ["--model", "retinanet_resnet_fpn", *(part for option in options for part in ("--set", option))]
    command = ["train", "--data", "shapes:4", "--no-augment", *options, "--epochs", "1"]
    assert main([*command, "--batch", "4", "--out", str(tmp_path / "1")]) == 0
    mpiexec(2, "-m", "chainfpn", *command, "--mpi", "--batch", "2", "--out", tmp_path / "2")
    losses = []
    for n in (1, 2):
        (entry,) = json.loads((tmp_path / str(n) / "log").read_text())
        losses.append([entry[name] for name in ("main/loss", "main/loss/class", "main/loss/box")])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


@pytest.mark.parametrize("norm", ["sync", pytest.param("batch", marks=pytest.mark.thorough)])
def test_statistics_of_normalization_are_those_of_all_processes(norm, out, tmp_path):
    if norm == "sync":
        shutil.copytree(out, tmp_path / "run")
    else:
        mpiexec(2, *TRAIN, "--set", f"norm={norm}", "--epochs", "1", "--out", tmp_path / "run")
    mpiexec(2, *TRAIN[:4], "--resume", "--epochs", "2", "--out", tmp_path / "run")
    first, second = (np.load(tmp_path / "run" / name) for name in ("snapshot.npz", "snapshot-1.npz"))
    with first, second:
        names = [name for name in first.files if name.endswith(("avg_mean", "avg_var"))]
        assert len(names) == 2 * 10
        for name in names:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    arguments = read_weights(tmp_path / "run" / "last.npz")[1]["arguments"]
    assert arguments["norm"] == "batch"
    assert models.load(tmp_path / "run" / "last.npz").n_fg_class == 3


def test_ctrl_c_saves_the_same_step_everywhere(tmp_path):
    """mpiexec makes a SIGTERM of it for every process."""
    out, seconds = tmp_path / "run", "10"
    grace = {f"{prefix}_MCA_odls_base_sigkill_timeout": seconds for prefix in ("OMPI", "PRTE")}
    command = ["mpiexec", "-n", "2", sys.executable, *TRAIN, "--epochs", "1000", "--out", str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env={**os.environ, **ENVIRONMENT, **grace}, **pipes)
    assert any(line.startswith("epoch 1 ") for line in iter(process.stdout.readline, ""))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=SECONDS)
    assert f"stopped; go on with: chainfpn train --resume --out {out}\n" in stderr
    iterations = []
    for name in ("snapshot.npz", "snapshot-1.npz"):
        with np.load(out / name) as snapshot:
            iterations.append(int(snapshot["updater/iteration"]))
    assert iterations[0] == iterations[1] < 2000
    assert not list(out.glob("*.part"))


@pytest.fixture(scope="module")
def dead(tmp_path_factory, mpi):
    """Three processes, one of which dies in the second epoch, with seven images, and two to validate with."""
    folder = tmp_path_factory.mktemp("dead")
    data = ["--data", "shapes:7", "--validation", "shapes:2:1", "--batch", "1", "--samples", "0"]
    return folder, mpiexec(
        3, DYING, *TRAIN[2:4], *data, *TRAIN[6:], "--epochs", "9", "--out", folder / "run", status=None
    )


def test_one_that_dies_ends_all_and_is_named(dead):
    folder, done = dead
    assert done.returncode != 0
    assert "noticed that process rank 1 " in done.stderr
    assert {f"snapshot{rank}.npz" for rank in ("", "-1", "-2")} <= set(os.listdir(folder / "run"))


def test_shares_that_do_not_come_out_even_are_of_one_size_and_have_every_image(dead):
    shares = [json.loads((dead[0] / f"share-{rank}.json").read_text()) for rank in range(3)]
    assert [len(share) for share in shares] == [3, 3, 3]
    assert set().union(*shares) == set(range(7))


def test_after_a_death_resume_goes_on(dead, tmp_path):
    shutil.copytree(dead[0] / "run", tmp_path / "run")
    mpiexec(3, *TRAIN[:4], "--resume", "--epochs", "2", "--out", tmp_path / "run")
    log = json.loads((tmp_path / "run" / "log").read_text())
    assert [(entry["epoch"], entry["iteration"]) for entry in log] == [(1, 3), (2, 6)]
    for rank in ("", "-1", "-2"):
        with np.load(tmp_path / "run" / f"snapshot{rank}.npz") as snapshot:
            assert snapshot["updater/iteration"] == 6
    evaluator = DetectionEvaluator(open_dataset("shapes:2:1"), models.load(tmp_path / "run" / "last.npz"))
    assert log[-1]["validation/main/map"] == pytest.approx(evaluator()["main/map"], abs=1e-6)


def test_one_that_cannot_write_ends_all(tmp_path):
    for name in ("0.jpg", "1.jpg"):
        Image.new("RGB", (64, 48)).save(tmp_path / name)
    (tmp_path / "out" / "1_detected.jpg").mkdir(parents=True)
    images = [tmp_path / name for name in ("0.jpg", "1.jpg")]
    command = ["-m", "chainfpn", "detect", "--mpi", "--weights", weights_path(), *images, "--out", tmp_path / "out"]
    done = mpiexec(2, *command, status=1)
    assert own_words(done.stderr) == [
        f"chainfpn detect: {tmp_path / 'out' / '1_detected.jpg'}: cannot be written (Is a directory)"
    ]
    assert os.listdir(tmp_path / "out" / "1_detected.jpg") == []
