import json

import numpy as np
import pytest
from PIL import Image

from chainfpn.datasets import DataError, PennFudanDataset

ANNOTATION = """# Compatible with PASCAL Annotation Version 1.00
Image filename : "PennFudanPed/PNGImages/{name}.png"
Image size (X x Y x C) : 12 x 10 x 3
Objects with ground truth : {n} {{ "PASpersonWalking" }}
"""
BOX = """
Bounding box for object {i} "PASpersonWalking" (Xmin, Ymin) - (Xmax, Ymax) : ({x0}, {y0}) - ({x1}, {y1})
Pixel mask for object {i} "PASpersonWalking" : "PennFudanPed/PedMasks/{name}_mask.png"
"""


@pytest.fixture
def root(tmp_path):
    """Three images of 10 x 12 pixels with 0, 1 and 2 pedestrians, whose boxes are what their masks cover."""
    for folder in ("PNGImages", "Annotation", "PedMasks"):
        (tmp_path / folder).mkdir()
    boxes = [(1, 1, 3, 5), (6, 2, 12, 10)]  # x0, y0, x1, y1 from 1
    for n, name in enumerate("abc"):
        image, mask = np.full((10, 12, 3), n, dtype=np.uint8), np.zeros((10, 12), dtype=np.uint8)
        text = ANNOTATION.format(name=name, n=n)
        for i, (x0, y0, x1, y1) in enumerate(boxes[:n], start=1):
            mask[y0 - 1 : y1, x0 - 1 : x1] = i
            text += BOX.format(i=i, x0=x0, y0=y0, x1=x1, y1=y1, name=name)
        Image.fromarray(image).save(tmp_path / "PNGImages" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "PedMasks" / f"{name}_mask.png")
        (tmp_path / "Annotation" / f"{name}.txt").write_text(text)
    return tmp_path


def test_examples(root):
    dataset = PennFudanDataset(root)
    assert dataset.available_keys == ("img", "bbox", "label", "mask")
    assert (dataset.keys, dataset.label_names, len(dataset)) == (("img", "bbox", "label"), ("person",), 3)
    img, bbox, label = dataset[2]
    assert (img.dtype, bbox.dtype, label.dtype) == (np.float32, np.float32, np.int32)
    np.testing.assert_array_equal(img, np.full((3, 10, 12), 2))
    np.testing.assert_array_equal(bbox, [[0, 0, 5, 3], [1, 5, 10, 12]])
    np.testing.assert_array_equal(label, [0, 0])
    assert [value.shape for value in dataset[0]] == [(3, 10, 12), (0, 4), (0,)]
    assert dataset.file_name(2) == str(root / "PNGImages" / "c.png")
    assert dataset.size(2) == (10, 12)


def test_masks_are_as_large_as_their_boxes(root):
    dataset = PennFudanDataset(root)
    dataset.keys = ("bbox", "mask")
    for bbox, mask in dataset:
        assert (mask.dtype, mask.shape) == (bool, (len(bbox), 10, 12))
        for (y0, x0, y1, x1), m in zip(bbox.astype(int), mask, strict=True):
            assert m[y0:y1, x0:x1].all()
            assert m.sum() == (y1 - y0) * (x1 - x0)


def test_keys_can_be_chosen_again_and_again(root):
    dataset = PennFudanDataset(root)
    dataset.keys = "bbox"
    assert dataset[1].shape == (1, 4)
    dataset.keys = dataset.available_keys
    assert len(dataset[1]) == 4
    with pytest.raises(ValueError, match="PennFudanDataset: keys must be among img, bbox, label, mask, got 'area'"):
        dataset.keys = "area"


@pytest.mark.parametrize("listed", [["b.png", "c"], "lines", "json"])
def test_a_list_of_names_chooses(root, listed):
    if listed == "lines":
        listed = root / "list.txt"
        listed.write_text("b.png\n\nc.png\n")
    elif listed == "json":
        listed = root / "list.json"
        listed.write_text(json.dumps(["b.png", "c.png"]))
    assert [len(example[1]) for example in PennFudanDataset(root, names=listed)] == [1, 2]
    assert [len(example[1]) for example in PennFudanDataset(root, without=listed)] == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["x.png", "a.png", "y.png"]}, "names: the data has no image 'x.png' and 1 more"),
        ({"without": ["x.png"]}, "without: the data has no image 'x.png'"),
        ({"without": ["a", "b", "c"]}, "no image is left of the data"),
        ({"names": "nowhere.txt"}, r"nowhere.txt: cannot be read \(No such file or directory\)"),
    ],
)
def test_a_wrong_name_is_an_error(root, options, message):
    with pytest.raises(DataError, match=f"^{message}$"):
        PennFudanDataset(root, **options)


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
def test_a_broken_file_is_named(root, file, damage, key, message):
    dataset = PennFudanDataset(root)
    dataset.keys = key
    damage(root / file)
    with pytest.raises(DataError, match=message) as caught:
        dataset[2]
    assert str(caught.value).startswith(str(root))
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
