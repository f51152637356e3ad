"""The parts of the detection benchmark that do not take minutes."""

import importlib.util
import pathlib
import sys
import time

import chainer
import chainer.links as L
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def detect():
    spec = importlib.util.spec_from_file_location("benchmark_detect", ROOT / "benchmarks" / "detect.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where inspect looks for it
    spec.loader.exec_module(module)
    return module


def test_the_stopwatch_counts_the_time_inside_each_part(detect):
    class Part:
        def forward(self, seconds):
            time.sleep(seconds)
            return seconds

    part, watch = Part(), detect.Stopwatch()
    watch.watch("part", part)

    def work():
        assert part.forward(0.02) == 0.02
        part.forward(0.01)
        time.sleep(0.01)

    seconds = watch.run(work, 3)
    assert seconds.keys() == {"part", "all"}
    assert len(seconds["part"]) == len(seconds["all"]) == 3
    for inside, whole in zip(seconds["part"], seconds["all"], strict=True):
        assert inside >= 0.03
        assert whole >= inside + 0.01


def test_a_row_is_the_median_over_runs_of_its_value_in_each(detect):
    seconds = {"all": [10, 20, 30], "rpn": [9, 1, 2]}
    assert detect.median(lambda s: s["all"] - s["rpn"], seconds) == 19


def test_operations_are_counted_by_hand(detect):
    layers = chainer.Sequential(
        L.Convolution2D(3, 8, 3, stride=2, pad=1), L.Convolution2D(8, 4, 1, groups=2), L.Linear(5)
    )
    with detect.Flops() as flops:
        layers(np.zeros((2, 3, 6, 6), dtype=np.float32))
    convolution = 2 * 8 * 9 * (2 * 3 * 9)  # images, channels, positions; a product and a sum for each of 3 x 3 x 3 taps
    grouped = 2 * 4 * 9 * (2 * 4)
    linear = 2 * 5 * (2 * 4 * 9)
    assert flops.total == convolution + grouped + linear


def test_the_distance_is_to_the_nearest_box(detect):
    bbox = np.array([[0.0, 1.0, 2.0, 3.0]])
    boxes = np.array([[10.0, 10.0, 20.0, 20.0], [1.0, 0.0, 3.0, 2.25]])  # xyxy
    assert detect.agreement(bbox, boxes) == "Each box is one of torchvision's 2, at most 0.250 pixels away."


def test_only_what_is_between_the_markers_is_replaced(detect, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setattr(detect, "PAGE", page)
    page.write_text("before\n<!-- begin: benchmarks/detect.py -->\nold\n<!-- end: benchmarks/detect.py -->\nafter\n")
    detect.write(r"new \1")
    assert page.read_text() == (
        "before\n<!-- begin: benchmarks/detect.py -->\nnew \\1\n<!-- end: benchmarks/detect.py -->\nafter\n"
    )
    page.write_text("no place\n")
    with pytest.raises(SystemExit, match=r"page\.md: has no place for the tables"):
        detect.write("new")


def test_the_page_has_the_place(detect):
    text = detect.PAGE.read_text(encoding="utf-8")
    assert [text.count(marker) for marker in detect.MARKERS] == [1, 1]
