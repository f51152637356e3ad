"""Images in other sizes on a canvas of their own: places computed by hand."""

import numpy as np
import pytest

from chainfpn.datasets import LargeScaleJitter


def example(size=(40, 60)):
    img = np.full((3, *size), 200, np.float32)
    bbox = np.array([[8, 12, 24, 36], [0, 0, 4, 4]], np.float32)
    mask = np.zeros((2, *size), bool)
    for k, (y0, x0, y1, x1) in enumerate(bbox.astype(int)):
        mask[k, y0:y1, x0:x1] = True
    return img, bbox, np.array([1, 0], np.int32), mask, bbox.reshape(2, 2, 2).copy()


@pytest.fixture
def drawn(monkeypatch):
    """Let every place be at a share of what is free."""

    def set_share(share):
        monkeypatch.setattr("chainfpn.datasets.large_scale_jitter.np.random.rand", lambda: share)

    return set_share


def test_half_the_size_in_the_middle(drawn):
    drawn(0.5)
    img, bbox, label, mask, point = LargeScaleJitter((0.5, 0.5))(example())
    np.testing.assert_allclose(bbox, [[14, 21, 22, 33], [10, 15, 12, 17]])
    np.testing.assert_array_equal(label, [1, 0])
    np.testing.assert_allclose(point.reshape(2, 4), bbox)
    assert (img[:, 10:30, 15:45] == 200).all()
    assert (img == 200).sum() == 3 * 20 * 30
    assert (img[:, :10] == 114).all()
    expected = np.zeros((40, 60), bool)
    expected[14:22, 21:33] = True
    np.testing.assert_array_equal(mask[0], expected)


def test_twice_the_size_at_the_upper_left(drawn):
    """A box is cut at the edge; with the canvas at the lower right corner the small one is gone, with its mask."""
    drawn(0.0)
    img, bbox, *_ = LargeScaleJitter((2, 2))(example())
    assert img.shape == (3, 40, 60)
    np.testing.assert_allclose(bbox, [[16, 24, 40, 60], [0, 0, 8, 8]])
    drawn(0.99999)
    img, bbox, label, mask, _ = LargeScaleJitter((2, 2))(example())
    np.testing.assert_allclose(bbox, [[0, 0, 8, 12]])
    assert (label.tolist(), mask.shape) == ([1], (1, 40, 60))
    assert mask[0].sum() == 8 * 12


def test_the_example_stays_as_it_is():
    given = example()
    before = [value.copy() for value in given]
    np.random.seed(0)
    LargeScaleJitter()(given)
    for value, expected in zip(given, before, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert LargeScaleJitter(probability=0)(given) is given


@pytest.mark.parametrize("scales", [(0, 1), (2, 1), (1,)])
def test_factors_that_are_none(scales):
    with pytest.raises(ValueError, match="LargeScaleJitter: scales must be two numbers, 0 < smallest <= largest"):
        LargeScaleJitter(scales)
