"""Masks laid over an image: which pixels a box has under torchvision's rule and under ChainerCV's."""

import numpy as np
import pytest

from chainfpn.links.detectors.paste_masks import paste_masks


@pytest.mark.parametrize(("rounded", "rows", "columns"), [(False, (2, 8), (3, 10)), (True, (3, 7), (3, 10))])
def test_a_full_mask_by_hand(rounded, rows, columns):
    # grown by 30 / 28, the box is from 2.757 to 7.043 and from 3.386 to 9.814
    bbox = np.array([[2.9, 3.6, 6.9, 9.6]], dtype=np.float32)
    (mask,) = paste_masks(np.ones((1, 28, 28), dtype=np.float32), bbox, (12, 12), rounded=rounded)
    expected = np.zeros((12, 12), dtype=bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("rounded", [False, True])
def test_what_lies_outside_is_cut_off(rounded):
    bbox = np.array([[-4, -4, 4, 4], [8, 8, 16, 16]], dtype=np.float32)
    first, second = paste_masks(np.ones((2, 28, 28), dtype=np.float32), bbox, (12, 12), rounded=rounded)
    assert first[:4, :4].all()
    assert not first[6:].any()
    assert second[8:, 8:].all()
    assert not second[:6].any()


def test_a_box_of_no_whole_pixel_has_none_if_rounded():
    bbox = np.array([[4.1, 4.1, 4.3, 4.3]], dtype=np.float32)
    mask = np.ones((1, 28, 28), dtype=np.float32)
    assert not paste_masks(mask, bbox, (12, 12), rounded=True).any()
    assert paste_masks(mask, bbox, (12, 12)).sum() <= 1


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("rounded", [False, True])
def test_a_gpu_pastes_the_cpus_pixels(dtype, rounded):
    cupy = pytest.importorskip("cupy")
    random = np.random.default_rng(0)
    mask = random.uniform(0, 1, (7, 28, 28)).astype(dtype)
    corner = random.uniform(-9, 40, (7, 2))
    bbox = np.concatenate((corner, corner + random.uniform(0, 50, (7, 2))), axis=1).astype(np.float32)
    bbox[3] = 90, 5, 99, 9  # below the image
    bbox[5] = 10.2, 10.2, 10.3, 10.3
    expected = paste_masks(mask.astype(np.promote_types(dtype, np.float32)), bbox, (44, 61), rounded=rounded)
    assert expected.any(axis=(1, 2)).sum() > 3
    pasted = paste_masks(cupy.asarray(mask), bbox, (44, 61), rounded=rounded)
    assert isinstance(pasted, np.ndarray)
    np.testing.assert_array_equal(pasted, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("n", [0, 2])
def test_a_gpu_pastes_nothing_where_nothing_is(n):
    cupy = pytest.importorskip("cupy")
    bbox = np.full((n, 4), 90, np.float32)
    assert not paste_masks(cupy.ones((n, 28, 28), np.float32), bbox, (12, 13)).any()
