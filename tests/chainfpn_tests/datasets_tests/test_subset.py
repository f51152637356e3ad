import numpy as np
import pytest

from chainfpn.datasets import ConcatDataset, ShapesDataset, Subset


def test_the_chosen_ones_in_the_order_they_were_chosen():
    whole = ConcatDataset(ShapesDataset(3, 32), ShapesDataset(3, (16, 32), seed=1))
    part = Subset(whole, [4, 0, 0])
    assert (len(part), part.label_names, part.available_keys) == (3, whole.label_names, whole.available_keys)
    for example, i in zip(part, (4, 0, 0), strict=True):
        for value, expected in zip(example, whole[i], strict=True):
            np.testing.assert_array_equal(value, expected)
    assert [part.size(i) for i in range(2)] == [(16, 32), (32, 32)]
    assert [part.file_name(i) for i in range(2)] == ["shapes-1-1", "shapes-0-0"]
    part.keys = ("mask", "label")
    assert part[0][0].shape == (len(part[0][1]), 16, 32)
    assert len(whole[0]) == 3


def test_only_what_is_there_can_be_chosen():
    with pytest.raises(IndexError):
        Subset(ShapesDataset(2), [2])
