import copy
import json
import re

import numpy as np
import pytest
from PIL import Image

from chainfpn.datasets import COCODataset, DataError, VOCDataset

CONTENT = {
    "images": [
        {"id": 9, "file_name": "empty.png"},
        {"id": 2, "file_name": "b.png", "height": 6, "width": 8},
        {"id": 3, "file_name": "a.png", "height": 5, "width": 4},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}, {"id": 90, "name": "cup"}],
    "annotations": [
        {
            "id": 1, "image_id": 2, "category_id": 18, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0,
            "segmentation": [[1, 2, 4, 2, 4, 6, 1, 6]],
        },
        {
            "id": 2, "image_id": 2, "category_id": 1, "bbox": [0, 0, 8, 1], "area": 8, "iscrowd": 1,
            "segmentation": {"size": [6, 8], "counts": [0] + [1, 5] * 8},
        },
        {"id": 3, "image_id": 3, "category_id": 90, "bbox": [0.5, 1.25, 2, 2]},
    ],
}  # fmt: skip


@pytest.fixture
def content():
    return copy.deepcopy(CONTENT)


@pytest.fixture
def open_coco(tmp_path, content):
    """Write the files and read them."""
    for name, size in (("a", (4, 5)), ("b", (8, 6)), ("empty", (3, 2))):
        Image.new("RGB", size, (1, 2, 3)).save(tmp_path / f"{name}.png")

    def open_it(**options):
        (tmp_path / "instances.json").write_text(json.dumps(content))
        return COCODataset(tmp_path / "instances.json", tmp_path, **options)

    return open_it


def test_examples(open_coco):
    dataset = open_coco(use_crowded=True)
    assert dataset.label_names == ("person", "dog", "cup")
    assert dataset.category_ids == (1, 18, 90)
    assert dataset.available_keys == ("img", "bbox", "label", "area", "crowded", "mask")
    assert dataset.keys == ("img", "bbox", "label")
    dataset.keys = dataset.available_keys
    img, bbox, label, area, crowded, mask = dataset[0]
    assert [value.dtype for value in dataset[0]] == [np.float32, np.float32, np.int32, np.float32, bool, bool]
    assert img.shape == (3, 6, 8)
    np.testing.assert_array_equal(img[:, 0, 0], [1, 2, 3])
    np.testing.assert_array_equal(bbox, [[2, 1, 6, 4], [0, 0, 1, 8]])
    np.testing.assert_array_equal(label, [1, 0])
    np.testing.assert_array_equal(area, [12, 8])
    np.testing.assert_array_equal(crowded, [False, True])
    expected = np.zeros((2, 6, 8), dtype=bool)
    expected[0, 2:6, 1:4] = expected[1, :1] = True
    np.testing.assert_array_equal(mask, expected)


def test_what_is_not_said_is_what_it_must_be(open_coco):
    dataset = open_coco()
    dataset.keys = ("bbox", "label", "area", "crowded")
    bbox, label, area, crowded = dataset[1]
    np.testing.assert_array_equal(bbox, [[1.25, 0.5, 3.25, 2.5]])
    assert (label, area, crowded) == (2, 4, False)
    assert [value.shape for value in dataset[2]] == [(0, 4), (0,), (0,), (0,)]
    assert (dataset.size(1), dataset.size(2)) == ((5, 4), (2, 3))
    dataset.keys = "mask"
    assert dataset[2].shape == (0, 2, 3)


def test_crowds_are_left_out(open_coco):
    dataset = open_coco()
    dataset.keys = ("bbox", "label", "mask")
    assert [len(value) for value in dataset[0]] == [1, 1, 1]


def test_some_categories_in_an_order_of_ones_own(open_coco):
    dataset = open_coco(label_names=("cup", "person"), use_crowded=True)
    assert dataset.label_names == ("cup", "person")
    assert [label.tolist() for label in dataset.slice[:, "label"]] == [[1], [0], []]


def test_a_list_of_names_chooses(open_coco):
    assert [len(bbox) for bbox in open_coco(names=["a.png"]).slice[:, "bbox"]] == [1]
    assert open_coco(without=["a"]).image_ids == (2, 9)


def test_compressed_run_lengths(open_coco, content):
    from pycocotools import mask as coco_mask

    rng = np.random.default_rng(0)
    expected = rng.random((6, 8)) < 0.5
    runs = coco_mask.encode(np.asfortranarray(expected.astype(np.uint8)))
    content["annotations"][0]["segmentation"] = {"size": runs["size"], "counts": runs["counts"].decode()}
    dataset = open_coco()
    dataset.keys = "mask"
    np.testing.assert_array_equal(dataset[0], expected[None])


WRONG = {
    "no entry": (lambda c: c.pop("images"), "must be COCO's instances: a JSON object with images, annotations and"),
    "no id": (lambda c: c["images"][1].pop("id"), "an entry lacks 'id'"),
    "no image": (lambda c: c["annotations"][0].pop("image_id"), "an entry lacks 'image_id'"),
    "no object": (lambda c: c["images"].append(3), "its entries must be JSON objects"),
    "null": (lambda c: c.update(images=None), "images must be a list, got null"),
    "no annotations": (lambda c: c.update(annotations=None), "annotations must be a list, got null"),
    "twins": (lambda c: c["categories"].append({"id": 4, "name": "cup"}), "two of its categories have one name, 'cup'"),
    "one category id": (
        lambda c: c["categories"].append({"id": "90", "name": "cat"}),
        r"two of its categories have one id, 90 \('cup' and 'cat'\)",
    ),
    "one image id": (
        lambda c: c["images"].append({"id": 3.0, "file_name": "c.png"}),
        r"two of its images have one id, 3 \('a\.png' and 'c\.png'\)",
    ),
    "one file": (
        lambda c: c["images"].append({"id": 4, "file_name": "a.png"}),
        r"two of its images have one file name, 'a\.png' \(3 and 4\)",
    ),
    "no category": (lambda c: c.update(categories=[]), "has no category to learn"),
    "no name": (lambda c: c["categories"][0].update(name=None), "name of a category must be a text, got None"),
    "an id that is none": (lambda c: c["images"][0].update(id=[1]), r"id must be a whole number or a text, got \[1\]"),
    "no file": (lambda c: c["images"][0].update(file_name=7), "file_name of an image must be a text, got 7"),
    "a huge size": (
        lambda c: c["images"][1].update(height=10**400),
        r"height of b\.png must be a number of pixels, got 10",
    ),
    "a size of words": (
        lambda c: c["images"][1].update(width="wide"),
        r"width of b\.png must be a number of pixels, got 'wide'",
    ),
}


@pytest.mark.parametrize(("damage", "message"), WRONG.values(), ids=WRONG)
def test_what_is_not_cocos_is_an_error(open_coco, content, damage, message):
    damage(content)
    with pytest.raises(DataError, match=rf"instances\.json: {message}"):
        open_coco()


def test_a_category_chosen_twice_is_an_error(open_coco):
    with pytest.raises(DataError, match="two of its names of labels have one name, 'dog'"):
        open_coco(label_names=["dog", "cup", "dog"])


def test_an_unknown_category_is_an_error(open_coco):
    with pytest.raises(DataError, match=r"instances\.json: has no category 'cat'; it has person, dog, cup"):
        open_coco(label_names=["cat"])


@pytest.mark.parametrize(
    ("text", "message"), [("{", r"is not JSON \(Expecting"), ("[]", "must be COCO's instances"), ("", "is not JSON")]
)
def test_no_json_is_an_error(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=rf"x\.json: {message}"):
        COCODataset(tmp_path / "x.json", tmp_path)


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="nowhere: is not a folder of images"):
        COCODataset(tmp_path / "x.json", tmp_path / "nowhere")


BOX = "objects without a box of four numbers"
BAD_OBJECTS = {
    "box": ("bbox", [1, 2, 3], r"of b\.png must have a bbox of 4 numbers, got \[1, 2, 3\]", BOX),
    "no box": ("bbox", None, r"of b\.png must have a bbox of 4 numbers, got None", BOX),
    "words": ("bbox", ["a", 1, 2, 3], r"of b\.png must have a bbox of 4 numbers", BOX),
    "huge": ("bbox", [1, 2, 3, 10**400], r"of b\.png must have a bbox of 4 numbers", BOX),
    "category": ("category_id", 2, r"of b\.png must have a known category, got 2", "objects of an unknown category"),
    "no category": (
        "category_id",
        None,
        r"of b\.png must have a known category, got None",
        "objects of an unknown category",
    ),
    "image": ("image_id", 7, "is of an image that is not listed, 7", "objects of an image that is not listed"),
    "no image": ("image_id", None, "is of an image that is not listed", "objects of an image that is not listed"),
}


@pytest.mark.parametrize(("entry", "value", "message", "reason"), BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_a_bad_object_costs_the_object(open_coco, content, entry, value, message, reason):
    content["annotations"][0][entry] = value
    dataset = open_coco(use_crowded=True)
    assert [len(value) for value in dataset.read(0, ("bbox", "label", "area", "mask"))] == [1, 1, 1, 1]
    assert dataset.left_out.counts == {reason: 1}
    assert re.search(rf"instances\.json: object 1 {message}.*: left out$", dataset.left_out.omissions[0])


OUTLINES = {
    "none": None,
    "no polygon": [],
    "half a polygon": [[1, 2, 4, 2]],
    "five numbers": [[1, 2, 4, 2, 4]],
    "words": ["a"],
    "a word inside": [[1, 2, "4", 2, 4, 6]],
    "endless": [[1, 2, float("inf"), 2, 4, 6]],
    "far away": [[1, 2, 1e12, 2, 4, 6]],
    "no runs": {"runs": []},
    "other size": {"size": [2, 2], "counts": [1, 3]},
}


@pytest.mark.parametrize("outline", OUTLINES.values(), ids=OUTLINES)
def test_without_an_outline_an_object_has_a_box_only(open_coco, content, outline):
    content["annotations"][0]["segmentation"] = outline
    dataset = open_coco(use_crowded=True)
    for _ in range(2):
        np.testing.assert_array_equal(dataset.read(0, ["bbox"])[0], [[2, 1, 6, 4], [0, 0, 1, 8]])
        bbox, label, mask = dataset.read(0, ("bbox", "label", "mask"))
        np.testing.assert_array_equal(bbox, [[0, 0, 1, 8]])
        assert (label.tolist(), mask.shape, mask.sum()) == ([0], (1, 6, 8), 8)
        assert dataset.left_out.counts == {"objects without a mask": 1}
    (omission,) = dataset.left_out.omissions
    assert "instances.json: object 1 of b.png must be outlined by polygons or run lengths (" in omission


def test_of_several_polygons_the_sound_ones_are_drawn(open_coco, content):
    content["annotations"][0]["segmentation"].append([1, 2, 3, 4])
    dataset = open_coco()
    assert dataset.read(0, ["mask"])[0].sum() == 12
    assert not dataset.left_out.omissions


def test_unexpected_types_are_read_as_they_are_meant(open_coco, content):
    content["images"][1].update(id="2", height="6", width=8.0)
    content["categories"][0].update(id="18", name=3)
    content["annotations"][0].update(category_id=18.0, iscrowd="0", area=None)
    content["annotations"][1].update(image_id="2", iscrowd="1")
    dataset = open_coco(use_crowded=True)
    assert (dataset.label_names, dataset.category_ids) == (("person", "3", "cup"), (1, 18, 90))
    assert dataset.image_ids == ("2", 3, 9)
    label, area, crowded = dataset.read(0, ("label", "area", "crowded"))
    assert (label.tolist(), area.tolist(), crowded.tolist()) == ([1, 0], [12, 8], [False, True])
    assert dataset.size(0) == (6, 8)
    assert not dataset.left_out.omissions


def test_a_number_beyond_float32_is_none(open_coco, content):
    content["annotations"][0].update(bbox=[1, 2, 3, 1e300], area=1e300)
    bbox, area = open_coco().read(0, ("bbox", "area"))
    assert np.isnan(bbox).any()
    assert not np.isinf(area).any()


def test_what_was_chosen_cannot_be_chosen_again(open_coco, voc):
    for dataset, name in ((open_coco(), "use_crowded"), (VOCDataset(voc), "use_difficult")):
        with pytest.raises(AttributeError, match=name):
            setattr(dataset, name, True)


def test_ids_may_be_texts_and_numbers(open_coco, content):
    content["images"][0]["id"] = content["annotations"][2]["image_id"] = "x9"
    dataset = open_coco()
    assert dataset.image_ids == (2, 3, "x9")
    assert [len(bbox) for bbox in dataset.slice[:, "bbox"]] == [1, 0, 1]


def test_what_was_not_asked_for_is_counted(open_coco):
    assert open_coco(label_names=["dog"]).left_out.counts == {"objects of other categories": 2}
    assert open_coco().left_out.counts == {"crowds": 1}
    assert open_coco(names=["a.png"]).left_out.counts == {}


def test_an_image_of_another_size_is_named(open_coco, tmp_path):
    Image.new("RGB", (6, 8)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png: must be 6x8 pixels high and wide as annotated, got \(8, 6\)"):
        open_coco()[0]


def test_the_real_one(shared_data):
    from pycocotools.coco import COCO

    path = shared_data / "coco128" / "annotations" / "instances_train2017.json"
    dataset = COCODataset(path, shared_data / "coco128" / "train2017", use_crowded=True)
    dataset.keys = ("bbox", "label", "area", "crowded", "mask")
    coco = COCO(path)
    n = 0
    for i in range(0, len(dataset), 3):
        annotations = coco.loadAnns(coco.getAnnIds(dataset.image_ids[i]))
        bbox, label, area, crowded, mask = dataset[i]
        assert [dataset.category_ids[k] for k in label] == [a["category_id"] for a in annotations]
        x, y, w, h = np.array([a["bbox"] for a in annotations]).reshape(-1, 4).T
        np.testing.assert_allclose(bbox, np.stack((y, x, y + h, x + w), axis=1), rtol=1e-6)
        np.testing.assert_allclose(area, [a["area"] for a in annotations], rtol=1e-6)
        np.testing.assert_array_equal(crowded, [a["iscrowd"] for a in annotations])
        for a, m in zip(annotations, mask, strict=True):
            np.testing.assert_array_equal(m, coco.annToMask(a))
        n += len(bbox)
    assert n > 200
