import json

import numpy as np
import pytest
from PIL import Image

from chainfpn.datasets import DataError, PennFudanDataset


def test_examples(penn_fudan):
    dataset = PennFudanDataset(penn_fudan)
    assert dataset.available_keys == ("img", "bbox", "label", "mask")
    assert (dataset.keys, dataset.label_names, len(dataset)) == (("img", "bbox", "label"), ("person",), 3)
    img, bbox, label = dataset[2]
    assert (img.dtype, bbox.dtype, label.dtype) == (np.float32, np.float32, np.int32)
    np.testing.assert_array_equal(img, np.full((3, 10, 12), 2))
    np.testing.assert_array_equal(bbox, [[0, 0, 5, 3], [1, 5, 10, 12]])
    np.testing.assert_array_equal(label, [0, 0])
    assert [value.shape for value in dataset[0]] == [(3, 10, 12), (0, 4), (0,)]
    assert dataset.file_name(2) == str(penn_fudan / "PNGImages" / "c.png")
    assert dataset.size(2) == (10, 12)


def test_masks_are_as_large_as_their_boxes(penn_fudan):
    dataset = PennFudanDataset(penn_fudan)
    dataset.keys = ("bbox", "mask")
    for bbox, mask in dataset:
        assert (mask.dtype, mask.shape) == (bool, (len(bbox), 10, 12))
        for (y0, x0, y1, x1), m in zip(bbox.astype(int), mask, strict=True):
            assert m[y0:y1, x0:x1].all()
            assert m.sum() == (y1 - y0) * (x1 - x0)


def test_keys_can_be_chosen_again_and_again(penn_fudan):
    dataset = PennFudanDataset(penn_fudan)
    dataset.keys = "bbox"
    assert dataset[1].shape == (1, 4)
    dataset.keys = dataset.available_keys
    assert len(dataset[1]) == 4
    with pytest.raises(ValueError, match="PennFudanDataset: keys must be among img, bbox, label, mask, got 'area'"):
        dataset.keys = "area"


@pytest.mark.parametrize("listed", [["b.png", "c"], "lines", "json"])
def test_a_list_of_names_chooses(penn_fudan, listed):
    if listed == "lines":
        listed = penn_fudan / "list.txt"
        listed.write_text("b.png\n\nc.png\n")
    elif listed == "json":
        listed = penn_fudan / "list.json"
        listed.write_text(json.dumps(["b.png", "c.png"]))
    assert [len(example[1]) for example in PennFudanDataset(penn_fudan, names=listed)] == [1, 2]
    assert [len(example[1]) for example in PennFudanDataset(penn_fudan, without=listed)] == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["x.png", "a.png", "y.png"]}, "names: the data has no image 'x.png' and 1 more"),
        ({"without": ["x.png"]}, "without: the data has no image 'x.png'"),
        ({"without": ["a", "b", "c"]}, "no image is left of the data"),
        ({"names": "nowhere.txt"}, r"nowhere.txt: cannot be read \(No such file or directory\)"),
    ],
)
def test_a_wrong_name_is_an_error(penn_fudan, options, message):
    with pytest.raises(DataError, match=f"^{message}$"):
        PennFudanDataset(penn_fudan, **options)


def test_an_annotation_without_an_image_is_counted(penn_fudan):
    (penn_fudan / "PNGImages" / "a.png").unlink()
    dataset = PennFudanDataset(penn_fudan)
    assert len(dataset) == 2
    assert dataset.left_out.omissions == [f"{penn_fudan / 'Annotation' / 'a.txt'}: has no image: left out"]


def test_another_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="has no folder PNGImages"):
        PennFudanDataset(tmp_path)


def _cut(path):
    path.write_bytes(path.read_bytes()[:40])


BROKEN = {
    "image cut": ("PNGImages/c.png", _cut, "img", "c.png: is "),
    "image missing": ("PNGImages/c.png", lambda path: path.unlink(), "img", "c.png: there is no such file"),
    "annotation missing": ("Annotation/c.txt", lambda path: path.unlink(), "bbox", r"c.txt: cannot be read \(No such"),
    "annotation cut": (
        "Annotation/c.txt",
        lambda path: path.write_text(path.read_text()[:-200]),
        "bbox",
        "c.txt: must have as many boxes as it says there are objects, got 1",
    ),
    "annotation binary": ("Annotation/c.txt", lambda path: path.write_bytes(b"\xff\xfe\xff"), "bbox", "is not a text"),
    "mask cut": ("PedMasks/c_mask.png", _cut, "mask", "c_mask.png: cannot be read"),
    "mask of another size": (
        "PedMasks/c_mask.png",
        lambda path: Image.new("L", (3, 4)).save(path),
        "mask",
        r"c_mask.png: must be of the size of its image, \(10, 12\), got \(4, 3\)",
    ),
}


@pytest.mark.parametrize(("file", "damage", "key", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(penn_fudan, file, damage, key, message):
    dataset = PennFudanDataset(penn_fudan)
    dataset.keys = key
    damage(penn_fudan / file)
    with pytest.raises(DataError, match=message) as caught:
        dataset[2]
    assert str(caught.value).startswith(str(penn_fudan))
    assert dataset[1] is not None


def test_the_real_one(shared_data):
    held_out = shared_data / "weights" / "pennfudan_test.json"
    train = PennFudanDataset(shared_data / "pennfudan", without=held_out)
    test = PennFudanDataset(shared_data / "pennfudan", names=held_out)
    assert (len(train), len(test)) == (120, 50)
    assert sum(len(bbox) for bbox in test.slice[:, "bbox"]) == 136
    assert sum(len(bbox) for dataset in (train, test) for bbox in dataset.slice[:, "bbox"]) == 423
    test.keys = ("bbox", "mask")
    bbox, mask = test[0]
    for bb, m in zip(bbox, mask, strict=True):
        y, x = np.nonzero(m)
        np.testing.assert_allclose([y.min(), x.min(), y.max() + 1, x.max() + 1], bb, atol=6)
