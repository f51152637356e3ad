"""What travels to another process, as a pickle, arrives; what cannot says so in a sentence."""

import copy
import pickle

import numpy as np
import pytest

from chainfpn import models
from chainfpn.datasets import (
    AspectRatioGroupedIterator,
    Compose,
    ConcatDataset,
    LargeScaleJitter,
    PrefetchIterator,
    RandomCrop,
    RandomFlip,
    RandomPaste,
    RandomPhotometric,
    RandomScale,
    ShapesDataset,
    Subset,
    ValidatedDataset,
)
from chainfpn.errors import InvalidArgument, InvalidType
from chainfpn.links import Detections, SyncBatchNormalization
from chainfpn.training import GradientClipping, LearningRate, cosine_schedule, step_schedule, warm_up
from weights_convert import ConversionError
from weights_convert.report import Report

SHAPES = ShapesDataset(4, size=32)
TRANSFORMS = Compose(RandomScale([24, 40]), RandomFlip(), RandomCrop(), RandomPhotometric(), LargeScaleJitter((32, 32)))


def sent(value):
    """Return a value as another process gets it."""
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize(
    "dataset",
    [
        ValidatedDataset(ConcatDataset(Subset(SHAPES, [2, 1]), SHAPES)),
        RandomPaste([SHAPES], SHAPES.label_names),
        AspectRatioGroupedIterator(SHAPES, 2, shuffle=False),
    ],
    ids=lambda dataset: type(dataset).__name__,
)
def test_data_arrive(dataset):
    for again in (sent(dataset), copy.deepcopy(dataset)):
        assert type(again) is type(dataset)
        assert vars(again).keys() == vars(dataset).keys()
    if not isinstance(dataset, RandomPaste):
        first = (lambda data: next(data)[0][0]) if hasattr(dataset, "__next__") else lambda data: data[0][0]
        np.testing.assert_array_equal(first(sent(dataset)), first(dataset))


def test_transforms_arrive():
    np.random.seed(0)
    expected = TRANSFORMS(SHAPES[0])
    np.random.seed(0)
    for a, b in zip(sent(TRANSFORMS)(SHAPES[0]), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "schedule", [step_schedule(0.5, (3, 6)), cosine_schedule(0.5, 9), warm_up(step_schedule(0.5, [8]), 5)]
)
def test_schedules_arrive(schedule):
    assert [sent(schedule)(i) for i in range(12)] == [schedule(i) for i in range(12)]
    assert type(sent(LearningRate(schedule))) is LearningRate
    assert sent(GradientClipping(0.5)).max_norm == 0.5


def test_what_is_found_and_what_is_known_arrives():
    found = sent(Detections(np.ones((1, 4), "f"), np.zeros(1, "i"), np.ones(1, "f"), mask=np.ones((1, 2, 2), bool)))
    assert [one.label for one in found] == [0]
    assert found.mask.all()
    record = models.MODELS["resnet50"]
    assert sent(record) == record


def test_errors_arrive_whatever_they_are_about():
    error = sent(InvalidArgument("f", "x", "small", lambda: None, got="a function"))
    assert (str(error), error.value) == ("f: x must be small, got a function", "a function")
    assert sent(InvalidType("f", "x", "int", [2.5])).value == [2.5]
    error = sent(ConversionError("does not fit", Report("a.pth", missing=["fc.weight"])))
    assert (str(error), error.missing, error.file) == ("does not fit", ["fc.weight"], "a.pth")


def test_what_has_processes_says_that_it_stays():
    iterator = PrefetchIterator(SHAPES, 2, n_workers=1)
    try:
        rule = "PrefetchIterator: what is copied or pickled must be its dataset, for it has processes"
        for send in (pickle.dumps, copy.deepcopy):
            with pytest.raises(InvalidType, match=rule):
                send(iterator)
    finally:
        iterator.finalize()
    norm = SyncBatchNormalization(2, object())
    assert copy.deepcopy(norm)._sum is norm._sum
    with pytest.raises(InvalidType, match="must be a link without processes; save_weights keeps what it has learned"):
        pickle.dumps(norm)
