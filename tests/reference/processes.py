"""Several processes of an MPI, for the tests of training and detecting with ChainerMN."""

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from reference.required import skip_or_fail

#: What Open MPI 4 and 5 want where there are fewer cores than processes, and for a container's root; a process that
#: waits gives its core away.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMP_NUM_THREADS": "1",
}
#: Processes that wait for each other do so forever; longer than this none of the tests takes.
SECONDS = 600
#: Ends with status 0 in each process if the two have met.
MEET = "import sys; from mpi4py import MPI; sys.exit(MPI.COMM_WORLD.size != 2)"


def mpiexec(n, *arguments, status=0):
    """Run Python in processes that meet.

    Args:
        n (int): How many.
        *arguments (object): The command line of each, after the interpreter.
        status (int or None): How they must end, in any way if None.

    Returns:
        subprocess.CompletedProcess: With what all of them printed.

    Raises:
        AssertionError: with their stderr if they end otherwise.
        subprocess.TimeoutExpired: if they do not end.
    """
    done = _run(n, arguments)
    assert status in (None, done.returncode), done.stderr
    return done


def _run(n, arguments):
    command = ["mpiexec", "-n", str(n), sys.executable, *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, timeout=SECONDS)


def problem():
    """Return why processes do not meet here.

    Returns:
        str or None: None if they do.
    """
    if shutil.which("mpiexec") is None:
        return "no mpiexec here (Debian's openmpi-bin has one)"
    if importlib.util.find_spec("mpi4py") is None:
        return "no mpi4py here (the extra mpi brings it)"
    done = _run(2, ["-c", MEET])
    return f"two processes of mpiexec do not meet through mpi4py:\n{done.stderr}" if done.returncode else None


@pytest.fixture(scope="session")
def mpi():
    """Skip where mpiexec's processes do not meet through mpi4py, or fail if CHAINFPN_REQUIRE_MPI=1."""
    message = problem()
    if message is not None:
        skip_or_fail("CHAINFPN_REQUIRE_MPI", message)
