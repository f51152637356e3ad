import numpy as np
import pytest

from chainfpn.datasets import DataError, DetectionDataset, RandomPaste

HEIGHT, WIDTH = 60, 80


class Triangles(DetectionDataset):
    """One image with two bright half squares, each half of its box, on black: a red 'a' and a green 'b'."""

    def __init__(self, broken=False):
        super().__init__(["nowhere.png"], ("a", "b"))
        self.broken = broken
        self.add_getter(("bbox", "label", "mask"), self.get_annotation)
        self.keys = self.DEFAULT_KEYS

    def get_image(self, i):
        if self.broken:
            raise DataError("nowhere.png: is damaged")
        mask = self.get_annotation(i)[2]
        img = np.zeros((3, 50, 50), dtype=np.float32)
        img[0][mask[0]] = img[1][mask[1]] = 250
        return img

    def get_annotation(self, i):
        mask = np.zeros((2, 50, 50), dtype=bool)
        mask[0, 5:25, 5:25] = mask[1, 30:50, 20:40] = np.tri(20, dtype=bool)
        bbox = np.array([[5, 5, 25, 25], [30, 20, 50, 40]], dtype=np.float32)
        return bbox, np.array([0, 1], dtype=np.int32), mask


def example(*, boxes=()):
    """A blue image; each box is an object of label 7, and its mask is the whole box."""
    img = np.zeros((3, HEIGHT, WIDTH), dtype=np.float32)
    img[2] = 100
    mask = np.zeros((len(boxes), HEIGHT, WIDTH), dtype=bool)
    for m, (y0, x0, y1, x1) in zip(mask, boxes, strict=True):
        m[y0:y1, x0:x1] = True
    bbox = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return img, bbox, np.full(len(boxes), 7, dtype=np.int32), mask


def paste(given, names=("x", "b"), **options):
    options = {"probability": 1, "max_objects": 1, **options}
    return RandomPaste([Triangles()], names, **options)(given)


def test_known_objects_get_boxes_and_masks_and_others_only_pixels():
    np.random.seed(0)
    seen = set()
    for _ in range(40):
        img, bbox, label, mask = paste(example(), scales=(0.7, 2))
        assert img.dtype == bbox.dtype == np.float32
        assert (label.dtype, mask.dtype) == (np.int32, bool)
        changed = (img != example()[0]).any(axis=0)
        assert changed.any()
        if len(bbox):
            assert label.tolist() == [1]  # 'b' is the second name of the examples
            assert (img[1][mask[0]] > 120).all()
            np.testing.assert_array_equal(changed, mask[0])
            ys, xs = np.nonzero(mask[0])
            extent = ys.min(), xs.min(), ys.max() + 1, xs.max() + 1
            np.testing.assert_allclose(bbox[0], extent, atol=2)
            assert (bbox[0, :2] >= 0).all()
            assert (bbox[0, 2:] <= (HEIGHT, WIDTH)).all()
            # a right triangle fills half of its box
            assert mask[0].sum() == pytest.approx((bbox[0, 2:] - bbox[0, :2]).prod() / 2, rel=0.15)
        else:
            assert (img[0][changed] > 120).all()
            assert not img[1][changed].any()
        seen.add(len(bbox))
    assert seen == {0, 1}


def test_sizes_follow_the_scales_and_fit_into_the_image():
    np.random.seed(0)
    boxes = [bbox[0] for _, bbox, _, _ in (paste(example(), ("a", "b")) for _ in range(100)) if len(bbox)]
    sides = [bb[2] - bb[0] for bb in boxes]
    assert len(sides) < 100
    assert 12 <= min(sides) <= 13  # a smaller one than 12 pixels is not pasted
    assert 35 < max(sides) <= 40
    bbox = paste(example(), ("a", "b"), scales=(50, 50))[1]
    np.testing.assert_array_equal(bbox[0, 2:] - bbox[0, :2], [HEIGHT, HEIGHT])


def test_other_objects_remain_to_be_seen():
    np.random.seed(0)
    boxes = ((10, 10, 50, 30), (0, 40, 30, 70))
    n_overlaps = 0
    for _ in range(60):
        img, bbox, label, mask = paste(example(boxes=boxes), names=("a", "b"), max_objects=3)
        np.testing.assert_array_equal(bbox[:2], boxes)
        assert label[:2].tolist() == [7, 7]
        assert len(mask) == len(bbox) == len(label)
        for m, (y0, x0, y1, x1) in zip(mask[:2], boxes, strict=True):
            visible = m.sum() / ((y1 - y0) * (x1 - x0))
            assert visible > 0.1  # three pieces hide at most 30 % each
            n_overlaps += visible < 1
        # no pixel is of two objects, nor of one whose pixels are not to be seen
        assert (mask.sum(axis=0) <= 1).all()
        assert (img[2][mask[:2].any(axis=0)] == 100).all()
    assert n_overlaps > 10


def test_where_there_is_no_room_nothing_changes():
    given = example(boxes=((0, 0, 13, 13), (20, 20, 33, 33), (40, 40, 53, 53), (20, 60, 33, 73), (45, 0, 58, 13)))
    np.random.seed(0)
    for got, before in zip(paste(given, scales=(50, 50)), given, strict=True):
        np.testing.assert_array_equal(got, before)


def test_how_often_and_without_masks():
    np.random.seed(0)
    given = example()[:3]
    results = [paste(given, probability=0.3, scales=(1, 1)) for _ in range(100)]
    assert 20 < sum(result is not given for result in results) < 40
    assert all(len(result) == 3 for result in results)
    np.testing.assert_array_equal(given[0], example()[0])  # the example that was given stays


def test_a_source_that_cannot_be_read_is_not_cut_from():
    given = example()
    transform = RandomPaste([Triangles(broken=True)], ("a",), probability=1)
    assert transform(given) is given


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": []}, "RandomPaste: sources must be data sets that have masks, got []"),
        ({"probability": 2}, "RandomPaste: probability must be in 0..1, got 2"),
        ({"max_objects": 0}, "RandomPaste: max_objects must be >= 1, got 0"),
        ({"scales": (2, 1)}, "RandomPaste: scales must be > 0 and ascend, got (2, 1)"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        RandomPaste(**{"sources": [Triangles()], "label_names": ("a",), **options})
    assert str(error.value) == message
