"""The program that watches the memory, on few and small images."""

import types

import numpy as np
import pytest

import soak
from bench_utils.machine import Machine, memory
from reference import fake_cupy


def test_sizes_change_from_image_to_image():
    shapes = [img.shape for img in soak.images(4)]
    assert len(set(shapes)) == 4


def test_memory_is_of_this_process():
    assert 10 < memory() <= memory("VmHWM")


@pytest.mark.parametrize(("before", "after", "status"), [(100.0, 104.0, 0), (100.0, 106.0, 1)])
def test_more_than_a_twentieth_more_is_a_leak(before, after, status, monkeypatch):
    left = [before, after]
    monkeypatch.setattr(soak, "memory", lambda: left.pop(0))
    detector = types.SimpleNamespace(predict=lambda imgs: None, to_engine=lambda engine: detector)
    monkeypatch.setattr(soak.models, "fasterrcnn_resnet50_fpn", lambda min_size: detector)
    monkeypatch.setattr("sys.argv", ["soak.py", "--images", "2", "--write"])
    written = {}
    monkeypatch.setattr(soak.markdown, "write", written.__setitem__)
    with pytest.raises(SystemExit) as exit_:
        soak.main()
    assert exit_.value.code == status
    assert f"\n| 2 | {after:.0f} | {after / before:.3f} | 0.00 |\n\n" in written["soak.py"]
    assert written["soak.py"].endswith("; Faster R-CNN with a ResNet-50 at 800 pixels, engine chainer.")


@pytest.mark.gpu
def test_the_memory_of_a_gpu_counts():
    machine = Machine("cuda")
    kept = machine.xp.ones(2**18, np.float32)
    assert fake_cupy.is_installed() or machine.device_memory() >= kept.nbytes / 2**20
    assert Machine().device_memory() == 0
