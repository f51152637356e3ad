import numpy as np
import pytest

from chainfpn.datasets import DataError, PennFudanDataset, ShapesDataset, ValidatedDataset


def test_the_next_sound_example_takes_the_place(penn_fudan):
    (penn_fudan / "PNGImages" / "b.png").write_bytes(b"no image")
    (penn_fudan / "Annotation" / "c.txt").write_text("nothing")
    reports = []
    dataset = ValidatedDataset(PennFudanDataset(penn_fudan), reports.append)
    for _ in range(2):
        assert [len(example[1]) for example in (dataset[0], dataset[1], dataset[2])] == [0, 0, 0]
    assert len(dataset) == 3
    assert dataset.n_broken_images == 2
    assert dataset.left_out.counts == {
        "images that cannot be read": 1,
        "images with an annotation that cannot be read": 1,
    }
    assert [report.removeprefix(f"{penn_fudan}/") for report in reports] == [
        "PNGImages/b.png: is not an image: left out",
        "Annotation/c.txt: must have as many boxes as it says there are objects, got 0: left out",
    ]


def test_an_image_whose_header_is_broken_has_the_size_of_the_next(penn_fudan):
    (penn_fudan / "PNGImages" / "b.png").write_bytes(b"no image")
    dataset = ValidatedDataset(PennFudanDataset(penn_fudan), lambda message: None)
    assert dataset.size(1) == (10, 12)
    assert dataset.n_broken_images == 1


def test_nothing_sound_is_an_error(penn_fudan):
    for path in (penn_fudan / "PNGImages").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"b\.png: neither this nor any other example of the data can be read"):
        ValidatedDataset(PennFudanDataset(penn_fudan), lambda message: None)[1]


def with_boxes(dataset, bbox):
    bbox = np.array(bbox, dtype=np.float32)
    label, mask = np.arange(len(bbox), dtype=np.int32), np.zeros((len(bbox), 32, 32), dtype=bool)
    dataset._getters[1] = lambda i: (bbox, label, mask, label.astype(np.float32))
    dataset.keys = ("bbox", "label", "img", "mask")
    return dataset


def test_boxes_without_an_area_are_dropped(capsys):
    nan = float("nan")
    boxes = [(1, 2, 3, 4), (5, 5, 5, 9), (nan, 0, 3, 3), (-5, 30, 40, 50), (9, 9, 3, 3), (33, 1, 40, 9)]
    dataset = ValidatedDataset(with_boxes(ShapesDataset(2, 32), boxes))
    for _ in range(2):
        bbox, label, img, mask = dataset[0]
        np.testing.assert_array_equal(bbox, [(1, 2, 3, 4), (0, 30, 32, 32)])
        np.testing.assert_array_equal(label, [0, 3])
        assert (img.shape, mask.shape) == ((3, 32, 32), (2, 32, 32))
    assert (dataset.n_broken_images, dataset.n_broken_boxes) == (0, 4)
    assert dataset.left_out.counts == {"boxes without an area within the image": 4}
    assert capsys.readouterr().err.splitlines() == [
        f"shapes-0-0: box ({box}) has no area within the image: left out"
        for box in ("5, 5, 5, 9", "nan, 0, 3, 3", "9, 9, 3, 3", "33, 1, 40, 9")
    ]


def test_what_is_sound_stays_as_it_is():
    plain = ShapesDataset(2, 32)
    dataset = ValidatedDataset(plain)
    for value, expected in zip(dataset[1], plain[1], strict=True):
        np.testing.assert_array_equal(value, expected)
    assert (dataset.label_names, dataset.keys) == (plain.label_names, plain.keys)
    assert (dataset.file_name(1), dataset.size(1)) == ("shapes-0-1", (32, 32))


def test_boxes_need_their_image():
    dataset = ShapesDataset(1)
    dataset.keys = ("bbox", "label")
    with pytest.raises(
        ValueError, match=r"ValidatedDataset: dataset\.keys must have img and bbox, got \('bbox', 'label'\)"
    ):
        ValidatedDataset(dataset)
