"""Masks laid over an image: which pixels a box has under torchvision's rule and under ChainerCV's."""

import numpy as np
import pytest

from chainfpn.links.detectors.paste_masks import paste_masks, paste_masks_at_centers


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


def some_masks(dtype=np.float32):
    """Grids, and boxes of which one is beyond the image, one a fraction of a pixel, one without width."""
    random = np.random.default_rng(1)
    corner = random.uniform(-9, 40, (7, 2))
    bbox = np.concatenate((corner, corner + random.uniform(0, 50, (7, 2))), axis=1).astype(np.float32)
    bbox[3], bbox[5], bbox[6] = (90, 5, 99, 9), (10.2, 10.2, 10.3, 10.8), (10, 20.3, 30, 20.3)
    return random.uniform(0, 1, (7, 28, 28)).astype(dtype), bbox


def read_by_loops(mask, bb, size):
    """Sample a grid at each centre of a pixel, pixel by pixel."""
    n = len(mask)
    padded = np.pad(mask, 1)
    found = np.zeros(size, bool)
    for y, x in np.ndindex(*size):
        at = []
        for centre, low, high in ((y + 0.5, bb[0], bb[2]), (x + 0.5, bb[1], bb[3])):
            share = (centre - low) / (high - low) if high > low else 0.5
            at.append(np.clip(share * n - 0.5, -1, n))
        (top, left), (v, u) = np.floor(at).astype(int), np.array(at) - np.floor(at)
        part = np.pad(padded, 1)[top + 2 : top + 4, left + 2 : left + 4]
        found[y, x] = np.array([1 - v, v]) @ part @ np.array([1 - u, u]) >= 0.5
    return found


def test_centers_of_pixels_read_the_grid():
    mask, bbox = some_masks(np.float64)
    pasted = paste_masks_at_centers(mask, bbox, (44, 61))
    for i in range(6):
        np.testing.assert_array_equal(pasted[i], read_by_loops(mask[i], bbox[i], (44, 61)), err_msg=str(i))
    assert pasted.any(axis=(1, 2))[[0, 1, 2, 4]].all()
    assert not pasted[3].any()


def test_half_is_inside_and_a_side_of_no_length_reads_the_middle():
    half = np.full((1, 4, 4), 0.5)
    assert paste_masks_at_centers(half, np.array([[0, 0, 8, 8]], np.float32), (9, 9)).sum() == 36  # not at the border
    stripes = np.zeros((1, 5, 5))
    stripes[0, :, 2] = 1
    (pasted,) = paste_masks_at_centers(stripes, np.array([[2, 3, 6, 3]], np.float32), (8, 8))
    assert pasted[2:6, 2:4].all()
    assert pasted.sum() == 8


@pytest.mark.gpu
def test_a_gpu_reads_the_same():
    cupy = pytest.importorskip("cupy")
    mask, bbox = some_masks()
    found = paste_masks_at_centers(cupy.asarray(mask), bbox, (44, 61))
    np.testing.assert_array_equal(found, paste_masks_at_centers(mask, bbox, (44, 61)))
    assert paste_masks_at_centers(cupy.asarray(mask[:0]), bbox[:0], (44, 61)).shape == (0, 44, 61)


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
