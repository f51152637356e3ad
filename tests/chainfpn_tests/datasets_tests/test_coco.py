import copy
import json

import numpy as np
import pytest
from PIL import Image

from chainfpn.datasets import COCODataset, DataError

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
    "null": (lambda c: c.update(images=None), "its entries must be JSON objects"),
    "twins": (lambda c: c["categories"].append({"id": 4, "name": "cup"}), "two of its categories have one name"),
}


@pytest.mark.parametrize(("damage", "message"), WRONG.values(), ids=WRONG)
def test_what_is_not_cocos_is_an_error(open_coco, content, damage, message):
    damage(content)
    with pytest.raises(DataError, match=rf"instances\.json: {message}"):
        open_coco()


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


BAD_OBJECTS = {
    "box": ("bbox", "bbox", [1, 2, 3], r"must have a bbox of 4 numbers, got \[1, 2, 3\]"),
    "no box": ("bbox", "bbox", None, "must have a bbox of 4 numbers, got None"),
    "words": ("bbox", "bbox", ["a", 1, 2, 3], "must have a bbox of 4 numbers"),
    "area": ("area", "area", "12", "must have a number as its area, got '12'"),
    "no area": ("bbox", "area", None, "must have a number as its area, got None"),
    "category": ("label", "category_id", 2, "must have a known category, got 2"),
    "outline": ("mask", "segmentation", {"runs": []}, "must be outlined by polygons or run lengths"),
    "no outline": ("mask", "segmentation", None, "must be outlined by polygons or run lengths"),
    "no polygon": ("mask", "segmentation", [], "must be outlined by polygons or run lengths"),
    "half a polygon": ("mask", "segmentation", [[1, 2]], "must be outlined by polygons or run lengths"),
    "words outside": ("mask", "segmentation", ["a"], "must be outlined by polygons or run lengths"),
    "other size": ("mask", "segmentation", {"size": [2, 2], "counts": [1, 3]}, "must have a mask of "),
}


@pytest.mark.parametrize(("key", "entry", "value", "message"), BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_a_bad_object_is_named(open_coco, content, key, entry, value, message):
    content["annotations"][0][entry] = value
    dataset = open_coco()
    dataset.keys = key
    with pytest.raises(DataError, match=rf"instances\.json: object 1 of b\.png {message}"):
        dataset[0]
    dataset.keys = "bbox"
    assert dataset[1].shape == (1, 4)


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
