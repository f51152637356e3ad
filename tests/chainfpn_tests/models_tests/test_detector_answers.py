"""Every detector with seeded weights: torchvision's and kuangliu's maps, heads and detections, live and as kept."""

import functools

import numpy as np
import pytest

from reference import detector_cases
from reference.classifier_answers import difference
from reference.detector_answers import ALL, ours
from reference.detector_cases import KUANGLIU_CASES


@pytest.fixture(scope="module")
def theirs(torchvision_live):
    """torchvision's and kuangliu's answers, a detector at a time."""
    return functools.cache(functools.partial(detector_cases.theirs, torchvision_live))


@pytest.mark.parametrize(
    "builder", [pytest.param(name, marks=pytest.mark.slow) if name == "ssd300_vgg16" else name for name in ALL]
)
def test_answers_are_those_kept(builder):
    kept, answers = detector_cases.golden()[builder], detector_cases.summary(ours(builder, "float64"))
    assert answers.keys() == kept.keys()
    assert answers["parameters"] == kept["parameters"]
    assert len(kept.get("found", ())) > 1 or builder.startswith("fpn")
    for name in kept.keys() - {"parameters", "found"}:
        np.testing.assert_allclose(answers[name], kept[name], rtol=1e-7, atol=1e-7, err_msg=name)
    tolerance = tolerance_of_detections(builder, 1e-7)
    np.testing.assert_allclose(answers.get("found", ()), kept.get("found", ()), rtol=1e-7, atol=tolerance)


def tolerance_of_detections(builder, usual):
    """Return how far detections may be apart in float64: the anchors of our kuangliu are float32 numbers."""
    return 1e-4 if builder in KUANGLIU_CASES else usual


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("builder", ALL)
def test_maps_and_heads_are_torchvisions(theirs, builder, dtype, tolerance):
    answers, expected = ours(builder, dtype), theirs(builder)
    names = [name for name in expected if name.startswith(dtype) and "found" not in name]
    assert {name for name in answers if "found" not in name} == {*names, "parameters"}
    assert answers["parameters"] == expected["parameters"]
    for name in names:
        assert answers[name].dtype == dtype
        assert difference(answers[name], expected[name]) <= tolerance, name


@pytest.mark.slow
@pytest.mark.parametrize("builder", [name for name in ALL if not name.startswith("fpn")])
def test_detections_are_torchvisions(theirs, builder):
    """In float64: in float32 a rounding error can turn a suppression."""
    answers, expected = ours(builder, "float64"), theirs(builder)
    names = [name for name in expected if name.startswith("float64 found")]
    assert {name for name in answers if "found" in name} == set(names)
    for name in names:
        assert len(answers[name]) > 0
        tolerance = tolerance_of_detections(builder, 1e-6)
        np.testing.assert_allclose(answers[name], expected[name], rtol=1e-6, atol=tolerance, err_msg=name)
