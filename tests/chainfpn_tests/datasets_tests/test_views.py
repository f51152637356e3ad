import numpy as np
import pytest

from chainfpn.datasets import (
    COCODataset,
    ConcatDataset,
    PennFudanDataset,
    ShapesDataset,
    Subset,
    ValidatedDataset,
)


def test_one_after_the_other():
    parts = ShapesDataset(3, 32), ShapesDataset(2, (16, 32), seed=1)
    joined = ConcatDataset(*parts)
    assert (len(joined), joined.keys, joined.available_keys) == (5, parts[0].keys, parts[0].available_keys)
    for i, example in enumerate([*parts[0], *parts[1]]):
        for value, expected in zip(joined[i], example, strict=True):
            np.testing.assert_array_equal(value, expected)
    assert [joined.size(i) for i in (2, 3)] == [(32, 32), (16, 32)]
    assert [joined.file_name(i) for i in (2, 3)] == ["shapes-0-2", "shapes-1-0"]
    joined.keys = ("mask", "area")
    assert [value.shape for value in joined[4]] == [(len(joined[4][1]), 16, 32), (len(joined[4][1]),)]


def test_indices_count_from_the_end_too():
    parts = ShapesDataset(3, 32), ShapesDataset(2, (16, 32), seed=1)
    joined = ConcatDataset(*parts)
    for i in (-1, -2, -3, -5, np.int64(-4)):
        assert joined.size(i) == joined[i][0].shape[1:] == joined[5 + i][0].shape[1:]
        np.testing.assert_array_equal(joined[i][0], joined[5 + i][0])
        np.testing.assert_array_equal(joined.slice[i:, "img"][0], joined[5 + i][0])
    np.testing.assert_array_equal(Subset(joined, [4, 0])[-2][0], parts[1][1][0])
    skipping = ValidatedDataset(joined)
    np.testing.assert_array_equal(skipping[-1][0], parts[1][1][0])


@pytest.mark.parametrize("wrap", [lambda data: data, ConcatDataset, lambda data: Subset(data, [0, 2, 1])])
@pytest.mark.parametrize("i", [3, -4, 7])
def test_there_is_nothing_beyond_the_last(wrap, i):
    dataset = wrap(ShapesDataset(3, 32))
    sentence = rf"{type(dataset).__name__}: index must be in -3\.\.2, got {i}"
    for read in (dataset.__getitem__, lambda i: dataset.read(i, ["img"])):
        with pytest.raises(IndexError, match=sentence):
            read(i)
    with pytest.raises(IndexError):
        dataset.size(i)
    with pytest.raises(IndexError, match=rf"ValidatedDataset: index must be in -3\.\.2, got {i}"):
        ValidatedDataset(dataset)[i]


def test_keys_are_those_of_all(penn_fudan, shared_data):
    coco = shared_data / "coco128"
    people = COCODataset(coco / "annotations" / "instances_train2017.json", coco / "train2017", label_names=["person"])
    joined = ConcatDataset(PennFudanDataset(penn_fudan), people)
    assert joined.available_keys == ("img", "bbox", "label", "mask")
    assert len(joined) == 131
    assert sum(len(label) for label in joined.slice[3:, "label"]) == 254


def test_labels_must_mean_the_same(penn_fudan):
    with pytest.raises(ValueError, match=r"ConcatDataset: datasets must have the same label names, got .*person"):
        ConcatDataset(ShapesDataset(1), PennFudanDataset(penn_fudan))
    with pytest.raises(ValueError, match="ConcatDataset: datasets must have at least one entry, got none"):
        ConcatDataset()


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
