"""Several processes do what one does with as many times the batch."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from chainfpn import read_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("mpiexec") is None or importlib.util.find_spec("mpi4py") is None,
        reason="needs Open MPI and mpi4py",
    ),
]

SCRIPT = pathlib.Path(__file__).parents[2] / "reference" / "five_steps.py"
#: What Open MPI wants where there are fewer cores than processes, and for a container's root.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMP_NUM_THREADS": "1",
}


def mpiexec(n, *arguments):
    """Run Python in n processes."""
    command = ["mpiexec", "-n", str(n), sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


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
    assert done.stdout.split()[:4] == ["epoch", "1", "step", "2"]
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
