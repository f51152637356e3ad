"""ChainerMN's communicator of GPUs with one process, all that a machine with one GPU can show."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from chainfpn import read_weights

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

SCRIPT = pathlib.Path(__file__).parents[2] / "reference" / "five_steps.py"

#: What one process needs: an MPI, though alone, and NCCL behind CuPy.
NEEDED = "from mpi4py import MPI; from cupy.cuda import nccl; nccl.get_version()"


def _run(*arguments):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True)


def test_five_steps_are_those_of_the_cpu(tmp_path):
    needed = _run("-c", NEEDED)
    if needed.returncode:
        pytest.skip(f"no MPI or no NCCL: {needed.stderr.splitlines()[-1]}")
    for communicator in ("naive", "pure_nccl"):
        done = _run(SCRIPT, tmp_path / f"{communicator}.npz", 4, "batch", communicator)
        assert not done.returncode, done.stderr
    expected, found = (read_weights(tmp_path / f"{name}.npz")[0] for name in ("naive", "pure_nccl"))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6, err_msg=name)
