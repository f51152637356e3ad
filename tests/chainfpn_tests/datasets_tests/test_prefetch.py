"""Other processes read the same batches, whatever their number; none is left behind."""

import os
import signal
import subprocess
import sys
import time

import chainer
import numpy as np
import pytest
from PIL import Image

from chainfpn.datasets import PrefetchIterator, ValidatedDataset, open_dataset
from reference.arrays import saved

N = 7


class Numbers(chainer.dataset.DatasetMixin):
    """Each example is its index, a random number, and the process that drew it."""

    def __len__(self):
        return N

    def get_example(self, i):
        return i, np.random.rand(), os.getpid()


def take(iterator, n):
    return [[example[:2] for example in next(iterator)] for _ in range(n)]


def make(n_workers, seed=3):
    np.random.seed(seed)
    return PrefetchIterator(Numbers(), 2, np.arange(N) % 2, n_workers=n_workers)


def test_the_same_batches_with_any_number_of_processes():
    one, two, other = make(1), make(2), make(2, seed=4)
    try:
        batches = take(one, 9)
        assert take(two, 9) == batches
        assert take(other, 9) != batches
        assert all((a - b) % 2 == 0 for (a, _), (b, _) in batches)
        numbers = [number for batch in batches for _, number in batch]
        assert len(set(numbers)) == len(numbers)
        processes = {process for _ in range(10) for *_, process in next(two)}
        assert os.getpid() not in processes
        assert (one.epoch, one.is_new_epoch) == (2, False)
        assert one.epoch_detail == pytest.approx(18 / 7)
        np.testing.assert_array_equal(one.indices, [i for i, _ in batches[-1]])
    finally:
        for iterator in (one, two, other):
            iterator.finalize()


def test_it_goes_on_where_it_was_saved_not_where_it_had_read_to():
    first, second = make(2), make(1, seed=9)
    try:
        take(first, 4)
        state = saved(first)
        expected = take(first, 8)
        chainer.serializers.NpzDeserializer(state).load(second)
        assert second.epoch_detail == pytest.approx(8 / 7)
        assert take(second, 8) == expected
    finally:
        first.finalize()
        second.finalize()


def test_what_the_processes_find_is_known_here(tmp_path):
    for name in ("0.png", "1.png"):
        Image.new("RGB", (64, 48)).save(tmp_path / name)
    (tmp_path / "2.png").write_bytes(b"no picture")
    (tmp_path / "classes.txt").write_text("cell\n")
    (tmp_path / "0.txt").write_text("0 0.5 0.5 0.5 0.5\n0 0.5 0.5 0 0.1\n")
    reports = []
    data = ValidatedDataset(open_dataset(tmp_path), report=reports.append)
    iterator = PrefetchIterator(data, 3, n_workers=2, watched=data)
    try:
        for _ in range(3):
            assert sorted(len(bbox) for _, bbox, _ in next(iterator))[-1] == 1
    finally:
        iterator.finalize()
    assert (data.n_broken_images, data.n_broken_boxes) == (1, 1)
    assert sorted(str(report).partition(":")[0] for report in reports) == [str(tmp_path / f"{i}.png") for i in (0, 2)]
    assert data.left_out.counts["images that cannot be read"] == 1


class Deadly(Numbers):
    """The process that reads an example dies."""

    def get_example(self, i):
        os._exit(3)


def test_a_process_that_dies_is_named():
    iterator = PrefetchIterator(Deadly(), 2, n_workers=1)
    try:
        with pytest.raises(ChildProcessError, match="a process that reads images has ended"):
            next(iterator)
    finally:
        iterator.finalize()
    with pytest.raises(ValueError, match="n_workers must be >= 1, got 0"):
        PrefetchIterator(Numbers(), 2, n_workers=0)


KILLED = """
import os, signal
import numpy as np
from chainfpn.datasets import PrefetchIterator, ShapesDataset
iterator = PrefetchIterator(ShapesDataset(4, 32), 2, n_workers=2)
next(iterator)
print(*iterator._pool._processes, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_training_leaves_no_process():
    done = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    processes = [int(number) for number in done.stdout.split()]
    assert len(processes) == 2
    deadline = time.monotonic() + 60
    while any(_lives(process) for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _lives(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
