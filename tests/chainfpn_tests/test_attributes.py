"""What a constructor takes are attributes: setting one later works, or raises."""

import numpy as np
import pytest

from chainfpn.datasets import (
    AspectRatioGroupedIterator,
    ConcatDataset,
    RandomCrop,
    RandomFlip,
    RandomPhotometric,
    RandomScale,
    ShapesDataset,
    Subset,
)
from chainfpn.errors import InvalidArgument

EXAMPLE = ShapesDataset(1, 64)[0]


@pytest.mark.parametrize(
    ("thing", "name", "value", "rule"),
    [
        (RandomFlip(), "probability", -0.5, "in 0..1"),
        (RandomCrop(), "probability", 1.5, "in 0..1"),
        (RandomCrop(), "min_side", 0, "> 0 and <= 1"),
        (RandomPhotometric(), "hue", 2, "in 0..1"),
        (RandomScale([32]), "sizes", [], "have at least one entry"),
    ],
)
def test_a_value_against_the_rule_raises_whenever_it_is_set(thing, name, value, rule):
    before = getattr(thing, name)
    with pytest.raises(InvalidArgument) as error:
        setattr(thing, name, value)
    assert (error.value.field, error.value.rule, error.value.value) == (name, rule, value)
    assert getattr(thing, name) is before


def test_what_is_set_is_used():
    scale, flip, light = RandomScale([32]), RandomFlip(0), RandomPhotometric(0, 0, 0, 0)
    scale.sizes = [48]
    assert scale(EXAMPLE)[0].shape == (3, 48, 48)
    scale.max_size = 40
    with pytest.raises(ValueError, match="must be > 0 and <= max_size, got 48 and 40"):
        scale(EXAMPLE)
    flip.probability = 1
    np.testing.assert_array_equal(flip(EXAMPLE)[0], EXAMPLE[0][:, :, ::-1])
    light.brightness = 0.9
    assert (light(EXAMPLE)[0] != EXAMPLE[0]).any()


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (AspectRatioGroupedIterator(ShapesDataset(2), 1), "batch_size"),
        (Subset(ShapesDataset(2), [1]), "indices"),
        (ConcatDataset(ShapesDataset(2)), "datasets"),
    ],
)
def test_what_cannot_change_later_raises(thing, name):
    with pytest.raises(AttributeError, match=rf"^{type(thing).__name__}: {name} must be set by the constructor$"):
        setattr(thing, name, getattr(thing, name))
