"""The program that watches the memory, on few and small images."""

import pytest

import soak
from bench_utils.machine import memory


def test_sizes_change_from_image_to_image():
    shapes = [img.shape for img in soak.images(4)]
    assert len(set(shapes)) == 4


def test_memory_is_of_this_process():
    assert 10 < memory() <= memory("VmHWM")


@pytest.mark.parametrize(("found", "status"), [([100.0, 104.0], 0), ([100.0, 106.0], 1)])
def test_more_than_a_twentieth_more_is_a_leak(found, status, monkeypatch):
    monkeypatch.setattr(soak, "soak", lambda *arguments: found)
    monkeypatch.setattr("sys.argv", ["soak.py"])
    with pytest.raises(SystemExit) as exit_:
        soak.main()
    assert exit_.value.code == status
