"""How many cores there are for a process."""

import os

import pytest

from chainfpn.functions.kernels.cores import count_cores, requested
from reference.small_files import write


@pytest.fixture
def sixteen(monkeypatch):
    """A process that may run on 16 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(16), raising=False)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (["0::/a/b"], {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000", "cpu.max": "max 100000"}, 2),
        (["0::/elsewhere"], {"cpu.max": "50000 100000"}, 1),  # as a container sees it
        (["0::/"], {"cpu.max": "3200000 100000"}, 16),
        (
            ["6:memory:/a", "5:cpu,cpuacct:/a", "0::/"],
            {
                "cpu,cpuacct/a/cpu.cfs_quota_us": "400000",
                "cpu,cpuacct/a/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        (["0::/"], {}, 16),
        (None, {}, 16),
    ],
)
def test_a_container_has_the_cores_that_its_groups_leave_it(groups, files, expected, sixteen, tmp_path):
    texts = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    if groups is not None:
        texts["proc/self/cgroup"] = "\n".join(groups)
    for name, text in texts.items():
        write(tmp_path / name, text + "\n")
    assert count_cores(tmp_path) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"), [("2", "3", 2), ("", "3,1", 3), ("0", "", None), ("all", "", None)]
)
def test_what_the_environment_asks_for(first, second, expected, monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", first)
    monkeypatch.setenv("OMP_NUM_THREADS", second)
    assert requested("NUMBA_NUM_THREADS", "OMP_NUM_THREADS") == expected
