"""Keypoints of COCO's JSON, and which one each is in a mirror."""

import json

import numpy as np
import pytest
from PIL import Image

from chainfpn.datasets import (
    COCODataset,
    ConcatDataset,
    DataError,
    RandomFlip,
    Subset,
    ValidatedDataset,
    mirrored_keypoints,
    open_dataset,
)
from chainfpn.errors import InvalidArgument
from reference.keypoint_set import NAMES, write_keypoint_set

COCO = ["nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"]
COCO += ["right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"]
COCO += ["left_ankle", "right_ankle"]
MIRRORS = {
    "COCO, as torchvision's references flip it": (COCO, (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)),
    "no side": (["tip", "tail"], (0, 1)),
    "at the end": (["eye-right", "eye-left"], (1, 0)),
    "letters": (["l_hip", "R.KNEE", "r_hip", "L.KNEE", "roll"], (2, 3, 0, 1, 4)),
    "humps": (["LeftEye", "RightEye", "LEFT", "RIGHT"], (1, 0, 3, 2)),
}


@pytest.mark.parametrize(("names", "expected"), MIRRORS.values(), ids=MIRRORS)
def test_mirrors(names, expected):
    assert mirrored_keypoints(names) == expected


def test_a_side_without_the_other_is_refused():
    with pytest.raises(InvalidArgument, match=r"names must have right_eye beside left_eye"):
        mirrored_keypoints(["nose", "left_eye"])


@pytest.fixture
def folder(tmp_path):
    write_keypoint_set(tmp_path, n=2)
    return tmp_path


def change(folder, function):
    content = json.loads((folder / "a.json").read_text())
    function(content)
    (folder / "a.json").write_text(json.dumps(content))
    return open_dataset(folder)


def test_examples(folder):
    data = open_dataset(folder)
    assert data.keypoint_names == tuple(NAMES)
    data.keys = ("bbox", "point", "visible")
    bbox, point, visible = data[1]
    y0, x0, y1, x1 = bbox[0]
    assert (point.dtype, visible.dtype) == (np.float32, bool)
    np.testing.assert_array_equal(point, [[(y0, x0), (y0, x1), (y1, x0), (0, 0)]])
    np.testing.assert_array_equal(visible, [[True, True, True, False]])
    assert data[0][2].all()


def test_a_flip_exchanges_left_and_right(folder):
    data = ValidatedDataset(change(folder, lambda content: None))
    data.dataset.keys = ("img", "bbox", "label", "point", "visible")
    flip = RandomFlip(1.0, mirrored=mirrored_keypoints(data.dataset.keypoint_names))
    _, bbox, _, point, visible = flip(data[1])
    y0, x0, y1, x1 = bbox[0]
    np.testing.assert_array_equal(point[0, [0, 1, 3]], [(y0, x0), (y0, x1), (y1, x1)])
    np.testing.assert_array_equal(visible, [[True, True, False, True]])


def test_keypoints_turn_with_their_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.new("RGB", (8, 4)).save(tmp_path / "0.jpg", exif=exif)
    category = {"id": 1, "name": "pen", "keypoints": ["tip"]}
    pen = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 0, 3, 2], "keypoints": [1, 0, 2]}
    content = {"images": [{"id": 1, "file_name": "0.jpg"}], "categories": [category], "annotations": [pen]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    data = open_dataset(tmp_path)
    data.keys = ("bbox", "point")
    bbox, point = data[0]
    np.testing.assert_array_equal(bbox, [[1, 2, 4, 4]])
    np.testing.assert_array_equal(point, [[[1, 4]]])


BAD = {
    "too few": [1, 2, 2],
    "text": ["1"] * 12,
    "an object": {"nose": [1, 2, 2]},
    "too large": [1e31, 2, 2] * 4,
}


@pytest.mark.parametrize("keypoints", BAD.values(), ids=BAD)
def test_other_keypoints_cost_the_object_where_they_are_asked_for(keypoints, folder):
    data = change(folder, lambda content: content["annotations"][0].update(keypoints=keypoints))
    assert len(data[0][1]) == 1
    data.keys = ("bbox", "point", "visible")
    assert [len(value) for value in data[0]] == [0, 0, 0]
    data.keys = "visible"
    assert [len(data[i]) for i in (0, 0, 1)] == [0, 0, 1]
    assert data.left_out.counts == {"objects with other keypoints than their category": 1}
    rule = "a.json: object 1 of 1.png must have x, y and visibility of 4 keypoints: left out"
    assert str(data.left_out.omissions[0]).endswith(rule)


def test_an_object_without_keypoints_shows_none(folder):
    data = change(folder, lambda content: content["annotations"][0].pop("keypoints"))
    data.keys = ("bbox", "visible")
    assert (len(data[0][0]), data[0][1].any()) == (1, False)
    assert not data.left_out.counts


def test_a_category_without_keypoints_shows_none(folder):
    def add(content):
        content["categories"].append({"id": 2, "name": "ball"})
        content["annotations"][0].update(category_id=2, keypoints=[])

    data = change(folder, add)
    data.keys = ("label", "visible")
    assert [data[i][1].any() for i in range(2)] == [False, True]
    assert data.keypoint_names == tuple(NAMES)
    assert COCODataset(folder / "a.json", folder, label_names=["ball"]).keypoint_names == ()


def test_categories_with_different_keypoints_have_none_in_common(folder):
    other = {"id": 2, "name": "pen", "keypoints": ["tip"]}
    data = change(folder, lambda content: content["categories"].append(other))
    assert data.keypoint_names == ()
    assert "point" not in data.available_keys
    assert COCODataset(folder / "a.json", folder, label_names=["pen"]).keypoint_names == ("tip",)


@pytest.mark.parametrize("names", [3, [["a"]], ["a", "a"]])
def test_names_that_are_none_are_refused(names, folder):
    with pytest.raises(DataError, match="keypoints of category 'square'"):
        change(folder, lambda content: content["categories"][0].update(keypoints=names))


def test_views_have_the_names(folder):
    data = open_dataset(folder)
    assert Subset(data, [1]).keypoint_names == ConcatDataset(data, data).keypoint_names == tuple(NAMES)
    other = change(folder, lambda content: content["categories"][0].update(keypoints=NAMES[::-1]))
    joined = ConcatDataset(data, other)
    assert joined.keypoint_names == ()
    assert "visible" not in joined.available_keys


def test_the_tree_of_coco(folder):
    (folder / "annotations").mkdir()
    (folder / "val2017").mkdir()
    (folder / "a.json").rename(folder / "annotations" / "person_keypoints_val2017.json")
    for path in folder.glob("*.png"):
        path.rename(folder / "val2017" / path.name)
    assert open_dataset(folder).keypoint_names == tuple(NAMES)
