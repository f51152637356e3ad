import numpy as np
import pytest
from chainercv.datasets import voc_bbox_label_names

from chainfpn.datasets import DataError, VOCDataset

DOG, PERSON = voc_bbox_label_names.index("dog"), voc_bbox_label_names.index("person")


def test_examples(voc):
    dataset = VOCDataset(voc)
    assert (len(dataset), dataset.label_names) == (2, voc_bbox_label_names)
    assert dataset.available_keys == ("img", "bbox", "label", "difficult")
    img, bbox, label = dataset[0]
    assert img.shape == (3, 10, 20)
    assert (bbox.dtype, label.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(bbox, [[1, 0, 10, 20]])
    np.testing.assert_array_equal(label, [DOG])
    assert [value.shape for value in dataset[1]] == [(3, 16, 8), (0, 4), (0,)]
    assert dataset.file_name(0) == str(voc / "JPEGImages" / "000001.jpg")
    assert dataset.size(0) == (10, 20)


def test_difficult_objects_if_asked_for(voc):
    bbox, label, difficult = VOCDataset(voc, use_difficult=True).read(0, ("bbox", "label", "difficult"))
    np.testing.assert_array_equal(bbox, [[1, 0, 10, 20], [4.5, 4, 9, 6]])
    np.testing.assert_array_equal(label, [DOG, PERSON])
    np.testing.assert_array_equal(difficult, [False, True])


def test_split_and_names(voc):
    assert [len(bbox) for bbox in VOCDataset(voc, "val").slice[:, "bbox"]] == [0]
    assert [len(bbox) for bbox in VOCDataset(voc, without=["000002"]).slice[:, "bbox"]] == [1]


def test_names_of_ones_own(voc):
    path = voc / "Annotations" / "000001.xml"
    path.write_text(path.read_text().replace("dog", "wolf"))
    assert VOCDataset(voc).label_names == ("person", "wolf")
    assert VOCDataset(voc, "val").label_names == ("person", "wolf")
    dataset = VOCDataset(voc, label_names=["cat", "wolf"])
    assert (dataset.label_names, dataset[0][2].tolist()) == (("cat", "wolf"), [1])


def replace(old, new):
    return lambda path: path.write_text(path.read_text().replace(old, new))


BROKEN = {
    "no XML": (replace("</annotation>", ""), "is not XML"),
    "no box": (replace("ymin", "top"), "has an object without a bndbox of xmin, ymin, xmax and ymax"),
    "words": (replace("<ymin>2", "<ymin>two"), "has an object without a bndbox of xmin, ymin, xmax and ymax"),
    "no name": (replace("dog", " "), "has an object without a name"),
    "new name": (replace("dog", "wolf"), "has an object with a new name, 'wolf'"),
    "missing": (lambda path: path.unlink(), "cannot be read"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_annotation_is_named(voc, damage, message):
    dataset = VOCDataset(voc)
    damage(voc / "Annotations" / "000001.xml")
    with pytest.raises(DataError, match=rf"000001\.xml: {message}"):
        dataset[0]
    assert len(dataset[1]) == 3
    if message.startswith("has an object without") or message.startswith("is not"):
        assert len(VOCDataset(voc)) == 2


def test_what_is_not_there_is_an_error(voc, tmp_path):
    with pytest.raises(DataError, match=r"test\.txt: cannot be read \(No such file or directory\)"):
        VOCDataset(voc, "test")
    (voc / "ImageSets" / "Main" / "val.txt").write_text("000009 1\n")
    with pytest.raises(DataError, match=r"val\.txt: there is no image 000009 in .*JPEGImages"):
        VOCDataset(voc, "val")
    with pytest.raises(DataError, match="has no folder JPEGImages"):
        VOCDataset(tmp_path)
