"""Tests of several processes are skipped where there can be none, and fail where there must be."""

import importlib.util
import re

import pytest

from reference import processes
from reference.required import skip_or_fail


@pytest.mark.parametrize(
    ("value", "outcome"), [(None, pytest.skip.Exception), ("0", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_what_is_missing_skips_or_fails(value, outcome, monkeypatch):
    monkeypatch.delenv("CHAINFPN_REQUIRE_MPI", raising=False)
    if value is not None:
        monkeypatch.setenv("CHAINFPN_REQUIRE_MPI", value)
    with pytest.raises(outcome, match="no such thing"):
        skip_or_fail("CHAINFPN_REQUIRE_MPI", "no such thing")


@pytest.mark.parametrize(
    ("script", "has_mpi4py", "problem"),
    [
        (None, True, "no mpiexec here"),
        ("exit 0", False, "no mpi4py here"),
        ("echo two alone >&2; exit 1", True, "do not meet through mpi4py:\ntwo alone"),
    ],
)
def test_processes_that_cannot_meet_are_noticed(script, has_mpi4py, problem, monkeypatch, tmp_path):
    if script is not None:
        (tmp_path / "mpiexec").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "mpiexec").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", {"mpi4py": has_mpi4py or None}.get)
    assert problem in processes.problem()


def test_four_processes_meet_on_any_number_of_cores(mpi):
    """And each knows its number."""
    code = "from mpi4py import MPI; comm = MPI.COMM_WORLD; print(comm.allreduce(comm.rank), flush=True)"
    assert re.findall(r"\d", processes.mpiexec(4, "-c", code).stdout) == ["6"] * 4  # lines may run together


def test_a_process_that_fails_shows_its_traceback(mpi):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        processes.mpiexec(2, "-c", "1 / 0")
