import numpy as np
import pytest

from chainfpn.datasets import Compose, RandomCrop, RandomFlip, RandomPhotometric, RandomScale


def example(height=40, width=60, boxes=((4, 6, 20, 30), (22, 40, 38, 58))):
    """An image whose objects are white rectangles, box and mask being exactly theirs."""
    img = np.zeros((3, height, width), dtype=np.float32)
    mask = np.zeros((len(boxes), height, width), dtype=bool)
    for m, (y0, x0, y1, x1) in zip(mask, boxes, strict=True):
        m[y0:y1, x0:x1] = True
        img[:, y0:y1, x0:x1] = 255
    bbox = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return img, bbox, np.arange(len(boxes), dtype=np.int32), mask


def extents(mask):
    y, x = np.nonzero(mask)
    return y.min(), x.min(), y.max() + 1, x.max() + 1


def check(img, bbox, label, mask, *, tolerance=0):
    """Boxes, masks and pixels still speak of the same objects."""
    assert img.dtype == bbox.dtype == np.float32
    assert (label.dtype, mask.dtype) == (np.int32, bool)
    assert mask.shape == (len(bbox), *img.shape[1:])
    assert len(label) == len(bbox)
    for bb, m in zip(bbox, mask, strict=True):
        np.testing.assert_allclose(extents(m), bb, atol=tolerance)


TRANSFORMS = {
    "flip": RandomFlip(1),
    "scale": RandomScale([24, 57]),
    "crop": RandomCrop(0.3, probability=1),
    "photometric": RandomPhotometric(0.5, 0.5, 0.5, 0.1),
    "all": Compose(RandomFlip(), RandomScale(range(20, 60, 4)), RandomCrop(), RandomPhotometric()),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_same_state_of_the_generator_gives_the_same_and_the_example_stays(transform):
    given = example()
    before = [value.copy() for value in given]
    np.random.seed(3)
    first = [transform(given) for _ in range(10)]
    np.random.seed(3)
    for a, b in zip(first, [transform(given) for _ in range(10)], strict=True):
        check(*a, tolerance=1.5)
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    for value, old in zip(given, before, strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_an_image_without_objects(transform):
    for _ in range(5):
        img, bbox, label, mask = transform(example(boxes=()))
        assert (bbox.shape, label.shape, mask.shape) == ((0, 4), (0,), (0, *img.shape[1:]))


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_without_masks(transform):
    img, bbox, label = transform(example()[:3])
    assert len(bbox) == len(label)
    assert img.flags.c_contiguous


def test_flip():
    img, bbox, label, mask = RandomFlip(1)(example())
    np.testing.assert_array_equal(bbox, [[4, 30, 20, 54], [22, 2, 38, 20]])
    check(img, bbox, label, mask)
    np.testing.assert_array_equal(img[0] > 0, mask.any(axis=0))


def test_flip_as_often_as_asked():
    np.random.seed(0)
    given = example()
    assert 20 < sum(RandomFlip(0.3)(given) is not given for _ in range(100)) < 40


def test_scale_draws_every_size():
    np.random.seed(0)
    transform = RandomScale((20, 30, 80), max_size=90)
    seen = {transform(example())[0].shape for _ in range(40)}
    assert seen == {(3, 20, 30), (3, 30, 45), (3, 60, 90)}  # the last is limited


def test_scale_keeps_boxes_on_their_pixels():
    img, bbox, label, mask = RandomScale([80])(example())
    np.testing.assert_array_equal(bbox, example()[1] * 2)
    check(img, bbox, label, mask)
    np.testing.assert_array_equal(img[0] > 127, mask.any(axis=0))


def test_scale_drops_slivers():
    _, bbox, label, mask = RandomScale([10])(example(boxes=((4, 6, 20, 30), (4, 50, 20, 53))))
    assert (len(bbox), label.tolist(), len(mask)) == (1, [0], 1)


def test_crop_keeps_what_is_in_it():
    np.random.seed(0)
    shapes = set()
    for _ in range(50):
        img, bbox, label, mask = RandomCrop(0.4, probability=1)(example())
        check(img, bbox, label, mask)
        assert len(bbox) > 0
        assert (bbox[:, :2] >= 0).all()
        assert (bbox[:, 2:] <= img.shape[1:]).all()
        assert img.shape[1] >= 16
        assert img.shape[2] >= 24
        for k, m in zip(label, mask, strict=True):
            whole = example()[1][k]
            assert m.sum() >= (whole[2] - whole[0]) * (whole[3] - whole[1]) / 4  # its centre is inside
            assert (img[0][m] == 255).all()
        shapes.add(img.shape)
    assert len(shapes) > 30


def test_crop_always_shows_an_object():
    """One that is cut to less than a pixel does not count."""
    np.random.seed(0)
    img, _, label, mask = example(boxes=((4, 6, 20, 8),))
    bbox = np.float32([[4, 6.5, 20, 7.9]])  # with its centre right of column 7, where a crop may begin
    for _ in range(200):
        assert len(RandomCrop(0.3, probability=1)((img, bbox, label, mask))[1]) == 1


#: The second and third keypoint are a pair.
MIRRORED = (0, 2, 1)
POINT_TRANSFORMS = {
    "flip": RandomFlip(1, mirrored=MIRRORED),
    "scale": RandomScale([24, 57]),
    "crop": RandomCrop(0.3, probability=1),
    "photometric": RandomPhotometric(),
    "all": Compose(RandomFlip(1, mirrored=MIRRORED), RandomScale([80]), RandomCrop(probability=1), RandomPhotometric()),
}


@pytest.mark.parametrize("transform", POINT_TRANSFORMS.values(), ids=POINT_TRANSFORMS)
def test_keypoints_move_with_the_pixels(transform):
    """Each marks a pixel of its own colour; those of the second object are hidden, its third one visible."""
    point = np.float32([[[8.5, 9.5], [12.5, 28.5], [18.5, 10.5]], [[24.5, 41.5], [30.5, 55.5], [36.5, 44.5]]])
    visible = np.array([[True, True, True], [False, False, True]])
    img, bbox, label, _ = example()
    img[:] = 0
    for k in range(3):
        rows, columns = point[:, k].astype(int).T
        img[k, rows, columns] = 255
    before = img.copy(), point.copy()
    np.random.seed(1)
    for _ in range(10):
        new, _, kept, moved, seen = transform((img, bbox, label, point, visible))
        assert moved.dtype == np.float32
        assert moved.shape == (len(kept), 3, 2)
        mirror = MIRRORED if transform is POINT_TRANSFORMS["flip"] or transform is POINT_TRANSFORMS["all"] else range(3)
        np.testing.assert_array_equal(seen, visible[kept][:, list(mirror)])
        for points in moved:
            for k, (y, x) in enumerate(points):
                if 0 <= y < new.shape[1] and 0 <= x < new.shape[2]:
                    colours = new[:, int(y), int(x)]
                    assert colours.argmax() == mirror[k]
                    assert colours.max() > 20
    np.testing.assert_array_equal(img, before[0])
    np.testing.assert_array_equal(point, before[1])


def test_an_image_as_wide_as_a_keypoint_has_masks():
    img, bbox = np.zeros((3, 4, 2), np.float32), np.float32([[0, 0, 4, 1]])
    mask = np.zeros((1, 4, 2), bool)
    mask[:, :, 0] = True
    np.testing.assert_array_equal(RandomFlip(1)((img, bbox, mask))[2], mask[:, :, ::-1])


def test_flip_has_to_know_which_keypoints_are_a_pair():
    img, bbox, _, _ = example()
    point = np.zeros((2, 3, 2), np.float32)
    for mirrored in (None, (0, 1), (0, 1, 1)):
        with pytest.raises(ValueError, match=r"RandomFlip: mirrored must have each of the 3 keypoints once, got "):
            RandomFlip(1, mirrored=mirrored)((img, bbox, point))


@pytest.mark.parametrize("name", ["flip", "scale", "crop"])
@pytest.mark.parametrize("wrong", [np.zeros((2, 40, 60), np.uint8), np.zeros((2, 3, 3), np.float32)])
def test_what_is_neither_masks_nor_keypoints_is_refused(name, wrong):
    img, bbox, _, _ = example()
    sentence = r"transforms: a 3-d entry must be masks, bool \(R, 40, 60\), or keypoints, float \(R, K, 2\), got "
    with pytest.raises(ValueError, match=sentence):
        TRANSFORMS[name]((img, bbox, wrong))


def test_crop_gives_up():
    given = example(boxes=((0, 0, 1, 1),))
    transform = RandomCrop(0.1, probability=1, n_tries=1)
    np.random.seed(1)
    assert any(transform(given) is given for _ in range(20))


def test_photometric_changes_what_it_is_asked_to():
    rng = np.random.default_rng(0)
    img = rng.uniform(50, 200, (3, 20, 30)).astype(np.float32)
    luma = np.array([0.299, 0.587, 0.114])

    def grey(x):
        return np.tensordot(luma, x, 1)

    np.random.seed(0)
    (bright,) = RandomPhotometric(0.2, 0, 0, 0)((img,))
    ratio = bright / img
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-5)
    assert 0.8 <= ratio.mean() <= 1.2
    assert abs(ratio.mean() - 1) > 0.01
    (contrasted,) = RandomPhotometric(0, 0.2, 0, 0)((img,))
    np.testing.assert_allclose(grey(contrasted).mean(), grey(img).mean(), rtol=1e-5)
    assert abs(contrasted.std() / img.std() - 1) > 0.01
    (saturated,) = RandomPhotometric(0, 0, 0.2, 0)((img,))
    np.testing.assert_allclose(grey(saturated), grey(img), rtol=1e-5)
    (turned,) = RandomPhotometric(0, 0, 0, 0.02)((img,))
    np.testing.assert_allclose(grey(turned), grey(img), rtol=1e-2)
    assert np.abs(turned - img).max() > 1
    np.testing.assert_allclose(RandomPhotometric(0, 0, 0, 0)((img,))[0], img)


def test_photometric_stays_among_the_colours():
    img = np.random.default_rng(0).uniform(0, 255, (3, 20, 30)).astype(np.float32)
    for _ in range(20):
        (changed,) = RandomPhotometric(1, 1, 1, 0.5)((img,))
        assert (changed.dtype, changed.shape) == (np.float32, img.shape)
        assert changed.min() >= 0
        assert changed.max() <= 255


def test_a_full_turn_of_the_hue_is_none():
    from chainfpn.datasets.photometric import _turn

    img = np.random.default_rng(0).uniform(0, 255, (3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(_turn(img, 1), img, atol=1e-3)
    red = np.array([255, 0, 0], dtype=np.float32)[:, None, None]
    assert _turn(red, 1 / 3).ravel().argmax() != 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomScale([]), r"RandomScale: sizes must have at least one entry, got \[\]"),
        (lambda: RandomScale([0]), "min_size must be > 0"),
        (lambda: RandomCrop(0), "RandomCrop: min_side must be > 0 and <= 1, got 0"),
        (lambda: RandomPhotometric(hue=2), r"RandomPhotometric: hue must be in 0\.\.1, got 2"),
    ],
)
def test_options_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()
