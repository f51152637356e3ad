import numpy as np
import pytest

from chainfpn.datasets import ShapesDataset


def test_examples():
    dataset = ShapesDataset(30, (48, 64))
    assert dataset.label_names == ("circle", "square", "triangle")
    dataset.keys = dataset.available_keys
    assert dataset.keys == ("img", "bbox", "label", "mask", "area")
    seen = set()
    for img, bbox, label, mask, area in dataset:
        assert (img.dtype, img.shape) == (np.float32, (3, 48, 64))
        assert img.min() >= 0
        assert img.max() <= 255
        assert 1 <= len(bbox) <= 4
        assert (mask.dtype, mask.shape) == (bool, (len(bbox), 48, 64))
        assert mask.sum(axis=0).max() == 1
        np.testing.assert_array_equal(area, mask.sum(axis=(1, 2)))
        for (y0, x0, y1, x1), m in zip(bbox.astype(int), mask, strict=True):
            assert m[y0:y1, x0:x1].sum() == m.sum()
            assert all(edge.any() for edge in (m[y0], m[y1 - 1], m[:, x0], m[:, x1 - 1]))
        seen.update(label.tolist())
    assert seen == {0, 1, 2}


def test_shapes_stand_out():
    for img, mask in zip(ShapesDataset(10), (ShapesDataset(10).read(i, ["mask"])[0] for i in range(10)), strict=True):
        rest = ~mask.any(axis=0)
        for m in mask:
            assert np.linalg.norm(img[0][:, m].mean(axis=1) - img[0][:, rest].mean(axis=1)) > 50


@pytest.mark.parametrize("label", [0, 1, 2])
def test_areas_are_those_of_the_shapes(label):
    """Relative to the square of the largest distance within the shape."""
    dataset = ShapesDataset(30, 256)
    expected = (np.pi / 4, 1 / 2, np.sqrt(3) / 4)[label]
    n = 0
    for i in range(30):
        labels, masks = dataset.read(i, ("label", "mask"))
        for mask in masks[labels == label]:
            inner = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
            points = np.argwhere(mask & ~np.pad(inner, 1))
            longest = np.sqrt(((points[:, None] - points) ** 2).sum(axis=2).max())
            assert mask.sum() / longest**2 == pytest.approx(expected, rel=0.1)
            n += 1
    assert n > 5


def test_an_example_depends_on_the_seed_and_its_index_alone():
    np.random.seed(0)
    first = ShapesDataset(10, 32, seed=5)
    img, bbox, label = first[7]
    np.random.seed(1)
    second = ShapesDataset(8, 32, seed=5)
    for i in (3, 7, 0):
        second[i]
    for value, other in zip((img, bbox, label), second[7], strict=True):
        np.testing.assert_array_equal(value, other)
    assert (img != ShapesDataset(10, 32, seed=6)[7][0]).any()
    assert (img != first[6][0]).any()


def test_reading_leaves_the_keys_alone():
    """For another thread may be reading, too."""
    dataset = ShapesDataset(2, 32)
    dataset.keys = "label"
    seen, draw = [], dataset._getters[0]
    dataset._getters[0] = lambda i: (seen.append(dataset.keys), draw(i))[1]
    img, label = dataset.read(1, ("img", "label"))
    assert seen == ["label"]
    np.testing.assert_array_equal(label, dataset[1])
    assert img.shape == (3, 32, 32)


def test_keys_that_are_not_there():
    dataset = ShapesDataset(2, 32)
    for ask in (lambda: dataset.read(0, ["img", "box"]), lambda: setattr(dataset, "keys", ("img", "box"))):
        with pytest.raises(ValueError, match=r"ShapesDataset: keys must be among img, .*, area, got 'box'"):
            ask()
    assert dataset.keys == ("img", "bbox", "label")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "n must be >= 1, got 0"),
        ((1, 8), "size must be >= 16, got 8"),
        ((1, 32, -1), "seed must be >= 0, got -1"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=f"ShapesDataset: {message}"):
        ShapesDataset(*arguments)
