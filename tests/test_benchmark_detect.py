"""The parts of the detection benchmark that do not take minutes."""

import time

import chainer
import chainer.links as L
import numpy as np

import detect
from bench_utils.flops import FlopCounter
from bench_utils.stages import Stopwatch


def test_the_stopwatch_counts_the_time_inside_each_part():
    class Part:
        def forward(self, seconds):
            time.sleep(seconds)
            return seconds

    part, watch = Part(), Stopwatch()
    watch.watch("part", part)

    def work():
        assert part.forward(0.02) == 0.02
        part.forward(0.01)
        time.sleep(0.01)

    seconds = watch.run(work, 3)
    assert seconds.keys() == {"part", "staged", "all"}
    assert len(seconds["part"]) == len(seconds["all"]) == 3
    for inside, whole in zip(seconds["part"], seconds["staged"], strict=True):
        assert inside >= 0.03
        assert whole >= inside + 0.01


def test_a_row_is_the_median_over_runs_of_its_value_in_each():
    seconds = {"all": [10, 20, 30], "rpn": [9, 1, 2]}
    assert detect.median(lambda s: s["all"] - s["rpn"], seconds) == 19


def test_operations_are_counted_by_hand():
    layers = chainer.Sequential(
        L.Convolution2D(3, 8, 3, stride=2, pad=1), L.Convolution2D(8, 4, 1, groups=2), L.Linear(5)
    )
    with FlopCounter() as flops:
        layers(np.zeros((2, 3, 6, 6), dtype=np.float32))
    convolution = 2 * 8 * 9 * (2 * 3 * 9)  # images, channels, positions; a product and a sum for each of 3 x 3 x 3 taps
    grouped = 2 * 4 * 9 * (2 * 4)
    linear = 2 * 5 * (2 * 4 * 9)
    assert flops.forward == convolution + grouped + linear


def test_the_distance_is_to_the_nearest_box():
    bbox = np.array([[0.0, 1.0, 2.0, 3.0]])
    boxes = np.array([[10.0, 10.0, 20.0, 20.0], [1.0, 0.0, 3.0, 2.25]])  # xyxy
    assert detect.agreement(bbox, boxes) == "Each box is one of torchvision's 2, at most 0.250 pixels away."
