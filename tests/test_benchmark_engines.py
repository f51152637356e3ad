"""The parts of the benchmark of engines that do not take minutes."""

import os
import subprocess
from functools import partial

import chainer
import numpy as np
import pytest

import engines
from bench_utils.busy import N_BUSY, busy
from bench_utils.chainercv_detector import chainercv_detector
from bench_utils.stages import by_stage, table_by_stage
from chainfpn import models
from reference.photographs import photographs
from reference.small_detectors import build_small


def test_a_run_warms_up_and_is_timed():
    calls = []
    found = engines.timed(lambda: calls.append(sum(range(10_000))), 3, False)
    assert len(calls) == 4
    assert sorted(found) == ["cpu", "wall"]
    found = engines.timed(lambda: calls.append(len(_children())), 1, True)
    assert calls[-2:] == [0, N_BUSY]
    engines.timed(lambda: calls.append("first"), 0, False)
    assert calls.count("first") == 1
    assert min(found[name] for name in ("wall", "busy wall")) > 0


def test_busy_processes_end_with_the_block():
    before = _children()
    with busy():
        assert len(_children() - before) == N_BUSY
    assert _children() == before


def _children():
    lines = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    ).stdout
    return {line for line in lines.splitlines() if "while True" in line}


def test_the_table_has_a_line_for_each_contender_and_no_figure_where_none_was_measured(monkeypatch, tmp_path):
    figures = {"wall": 2.0, "cpu": 3.0, "peak": 100.0}
    asked = []

    def measured(name, folder, threads, repeat, beside=False):
        asked.append(beside)
        busy = {"busy wall": 4.0, "busy cpu": 5.0} if beside else {}
        return {"resnet50, 1": 2.0} if name in engines.ENGINES else {**figures, **busy}

    monkeypatch.setattr(engines, "measured", measured)
    lines = engines.measure_detectors(tmp_path, None, 1)
    assert lines[2] == "| chainfpn, engine onnx | 2.00 | 2.00 |  | 1.00 | 3.00 | 4.00 | 5.00 | 100 |"
    assert lines[-1] == "| ChainerCV | 2.00 |  |  | 1.00 | 3.00 |  |  | 100 |"
    assert asked.count(True) == len(lines) - 3
    assert engines.measure_classifiers(tmp_path, None, 1)[2] == "| resnet50, 1 | 2000.0 | 2000.0 |  |  |"


def test_chainercvs_detector_has_our_weights():
    ours = models.fasterrcnn_resnet50_fpn(pretrained_model=None, min_size=64)
    theirs = chainercv_detector(ours, 64)
    img = np.random.default_rng(0).uniform(0, 255, (3, 64, 96)).astype(np.float32)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        maps, its_maps = ours.backbone(ours.prepare([img])[0]), theirs.extractor(theirs.prepare([img])[0])
        scores, its_scores = ours.rpn.head(maps)[0], theirs.rpn(its_maps)[1]
    for one, other in zip([*maps, *scores], [*its_maps, *its_scores], strict=True):
        np.testing.assert_allclose(other.array, chainer.as_array(one), atol=1e-3 * np.abs(chainer.as_array(one)).max())


@pytest.mark.parametrize("engine", ["chainer", "onnx"])
def test_stages_are_those_of_the_work_and_all_of_it(engine, monkeypatch):
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    detector = build_small("fasterrcnn_resnet_fpn").to_engine(engine)
    (img,) = [*photographs().values()][2:]
    runs, detect = [], type(detector).detect
    monkeypatch.setattr(type(detector), "detect", lambda self, imgs: runs.append(detect(self, imgs)))
    seconds = by_stage(partial(detector.detect, [img]), 1)
    assert len(runs) == 2  # one of them to warm up
    assert min(seconds.values()) > 0
    stages = {"one": {"a": 0.5, "b": 0.25, "c": 0.05, "rest": 0.2}}
    *_, line = table_by_stage(stages, 2)
    assert line == "| one | 0.500 | 0.250 | 0.050 | 0.200 | 25% |"
    assert table_by_stage({}, 2) == []
