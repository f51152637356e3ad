"""What is found in an image, as a record, object by object, and as JSON."""

import dataclasses
import json

import numpy as np
import pytest

from chainfpn.links import DetectedObject, Detections

BBOX = np.array([[0, 1, 4, 6], [2.5, 0, 3, 5]], np.float32)
LABEL = np.array([2, 0], np.int32)
SCORE = np.array([0.75, 0.5], np.float32)
POINT = np.arange(8, dtype=np.float32).reshape(2, 2, 2)


def _masks(seed):
    masks = np.random.RandomState(seed).rand(2, 5, 7) > 0.5
    masks[1] = seed % 2  # all or nothing
    return masks


def test_the_record_is_read_by_name_and_does_not_change():
    found = Detections(BBOX, LABEL, SCORE)
    assert len(found) == 2
    assert found.mask is found.point is found.point_score is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.score = SCORE


def test_objects_have_the_same_fields():
    assert DetectedObject._fields == tuple(field.name for field in dataclasses.fields(Detections))
    first, second = Detections(BBOX, LABEL, SCORE, mask=_masks(0), point=POINT, point_score=POINT[..., 0])
    assert (first.label, first.score, second.label, second.score) == (2, 0.75, 0, 0.5)
    np.testing.assert_array_equal(second.bbox, BBOX[1])
    np.testing.assert_array_equal(first.mask, _masks(0)[0])
    np.testing.assert_array_equal(second.point, [[4, 5], [6, 7]])
    np.testing.assert_array_equal(second.point_score, [4, 6])


def test_nothing_found_is_an_empty_list():
    assert Detections(BBOX[:0], LABEL[:0], SCORE[:0]).to_json() == []


def test_json_has_what_the_detector_has():
    plain = Detections(BBOX, LABEL, SCORE).to_json()
    assert plain == [
        {"bbox": [0.0, 1.0, 4.0, 6.0], "label": 2, "score": 0.75},
        {"bbox": [2.5, 0.0, 3.0, 5.0], "label": 0, "score": 0.5},
    ]
    whole = Detections(BBOX, LABEL, SCORE, _masks(1), POINT, POINT[..., 0]).to_json(("cat", "dog", "cup"))
    assert json.loads(json.dumps(whole)) == whole
    assert [record["name"] for record in whole] == ["cup", "cat"]
    assert whole[0]["point"] == [[0, 1], [2, 3]]
    assert whole[0]["point_score"] == [0, 2]
    assert list(whole[0]) == ["bbox", "label", "name", "score", "mask", "point", "point_score"]


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_are_cocos(seed):
    masks = _masks(seed)
    for record, mask in zip(Detections(BBOX, LABEL, SCORE, masks).to_json(), masks, strict=True):
        assert record["mask"]["size"] == [5, 7]
        runs = record["mask"]["counts"]
        pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        np.testing.assert_array_equal(pixels.reshape(7, 5).T, mask)


def test_pycocotools_reads_the_run_lengths():
    coco = pytest.importorskip("pycocotools.mask")
    masks = _masks(0)
    for record, mask in zip(Detections(BBOX, LABEL, SCORE, masks).to_json(), masks, strict=True):
        np.testing.assert_array_equal(coco.decode(coco.frPyObjects(record["mask"], *mask.shape)), mask)
