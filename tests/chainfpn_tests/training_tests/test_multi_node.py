"""Several processes do what one does with as many times the batch."""

import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from chainfpn import read_weights
from chainfpn.data import weights_path
from reference.processes import mpiexec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("mpi")]

SCRIPT = pathlib.Path(__file__).parents[2] / "reference" / "five_steps.py"


def test_two_are_as_one_with_twice_the_batch(tmp_path):
    for n in (1, 2):
        mpiexec(n, SCRIPT, tmp_path / f"{n}.npz", 4 // n)
    alone, together = (read_weights(tmp_path / f"{n}.npz")[0] for n in (1, 2))
    assert alone.keys() == together.keys()
    for name, array in alone.items():
        np.testing.assert_allclose(together[name], array, rtol=0, atol=1e-6, err_msg=name)


def test_the_command_trains_evaluates_and_writes_once(tmp_path):
    slim = ["depth=18", "stages=[1,2]", "fpn_channels=8", "head_channels=8", "min_size=48", "max_size=48"]
    options = [part for option in slim for part in ("--set", option)]
    data = ["--data", "shapes:8", "--validation", "shapes:3:1", "--loss", "box_batch_size_per_image=16"]
    common = ["-m", "chainfpn", "train", "--mpi", *data, *options, "--batch", "2", "--recompute-statistics", "4"]
    done = mpiexec(2, *common, "--epochs", "1", "--out", tmp_path / "run")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines[:5]] == ["class", "circle", "square", "triangle", "(no"]
    assert lines[5][:4] == ["epoch", "1", "step", "2"]
    (entry,) = json.loads((tmp_path / "run" / "log").read_text())
    assert 0 <= entry["validation/main/map"] <= 1
    assert {"snapshot.npz", "snapshot-1.npz", "best.npz", "report.html"} <= set(os.listdir(tmp_path / "run"))
    first, second = (np.load(tmp_path / "run" / name) for name in ("snapshot.npz", "snapshot-1.npz"))
    with first, second:
        weights = [name for name in first.files if name.startswith("updater/model:main/")]
        assert len(weights) > 50
        for name in weights:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    mpiexec(2, *common[:4], "--resume", "--out", tmp_path / "run")


def test_detect_shares_the_images(tmp_path):
    names = [f"{i}.jpg" for i in range(3)]
    for i, name in enumerate(names):
        Image.new("RGB", (64 + i, 48), (i, 99, 200)).save(tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    images = [tmp_path / name for name in ("0.jpg", "broken.jpg", "1.jpg", "2.jpg")]
    common = ["-m", "chainfpn", "detect", "--weights", weights_path(), *images]
    for n, mpi in ((1, []), (2, ["--mpi"])):
        options = ["--json", tmp_path / f"{n}.json", "--out", tmp_path / str(n), "--score", "0.01"]
        done = mpiexec(n, *common, *options, *mpi, status=1)
        assert done.stdout.count("image ") == 1
        assert f"3 pictures written to {tmp_path / str(n)}\n" in done.stdout
        assert done.stderr.count("broken.jpg: ") == 1
    assert json.loads((tmp_path / "1.json").read_text()) == json.loads((tmp_path / "2.json").read_text())
    assert sorted(os.listdir(tmp_path / "1")) == sorted(os.listdir(tmp_path / "2"))
