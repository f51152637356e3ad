"""benchmarks/speeds.py times a classifier and a detector."""

import pytest

import speeds
from bench_utils.machine import Machine


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "fasterrcnn_mobilenet_v3_large_320_fpn"])
def test_a_model_is_timed(name):
    assert speeds.milliseconds(name, Machine(), repeat=1) > 0
