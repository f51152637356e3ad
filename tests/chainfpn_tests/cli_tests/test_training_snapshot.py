"""Snapshots of several processes."""

import argparse

import pytest

from chainfpn.cli import training_snapshot
from chainfpn.cli.training_snapshot import CommonSnapshot


class Meeting:
    """A communicator in place of MPI's."""

    def __init__(self, rank, barrier):
        self.rank = rank
        self.mpi_comm = argparse.Namespace(barrier=barrier)


@pytest.fixture
def write(monkeypatch):
    """Let a snapshot be a text."""
    monkeypatch.setattr(training_snapshot, "save_snapshot", lambda path, trainer: path.write_text(trainer))


@pytest.mark.parametrize(("rank", "name"), [(0, "snapshot.npz"), (1, "snapshot-1.npz")])
def test_the_old_file_stays_until_all_new_ones_are_there(rank, name, tmp_path, write):
    seen = []
    snapshot = CommonSnapshot(tmp_path, Meeting(rank, lambda: seen.append((tmp_path / name).exists())))
    snapshot("first")
    snapshot("second")
    assert seen == [False, True]
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "second")]


def test_a_process_that_fails_leaves_the_old_files(tmp_path, write):
    def fail():
        raise KeyboardInterrupt

    CommonSnapshot(tmp_path, Meeting(0, lambda: None))("first")
    with pytest.raises(KeyboardInterrupt):
        CommonSnapshot(tmp_path, Meeting(0, fail))("second")
    assert (tmp_path / "snapshot.npz").read_text() == "first"
