"""Clipping, size and score selection, by hand."""

import numpy as np
import pytest

from chainfpn.boxes import clip, remove_small_boxes, top_k


def test_clip_moves_corners_into_the_image():
    bbox = np.array([[-5.0, 3.0, 20.0, 90.0]], dtype=np.float32)
    clipped = clip(bbox, (10, 50))
    np.testing.assert_array_equal(clipped, [[0, 3, 10, 50]])
    assert clipped.dtype == np.float32


def test_small_boxes_are_below_the_bound():
    bbox = np.array([[0, 0, 2, 5], [0, 0, 1.9, 5], [0, 0, 5, 1.9]])
    np.testing.assert_array_equal(remove_small_boxes(bbox, 2), [0])


@pytest.mark.parametrize("k", [0, 1, 3, 5, 6, 9])
def test_top_k_takes_the_earlier_of_equals(k):
    score = np.array([0.5, 0.9, 0.5, 0.1, 0.9, 0.5])
    np.testing.assert_array_equal(top_k(score, k), [1, 4, 0, 2, 5, 3][:k])
