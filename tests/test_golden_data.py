"""The answers of other frameworks are whole: every small model's weights, photographs and arrays fit each other."""

import hashlib
import zlib

import golden_table
import numpy as np
import pytest

from chainfpn.links import Detections
from golden import compare
from golden.model import HERE, GoldenModel, names
from golden.seeded import draw

#: What a file of the repository may have.
LARGEST = 260_000


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"shape": [2, 1], "values": [0.5, -1]}, [[0.5], [-1]]),
        ({"shape": [], "draw": "zero", "dtype": "int64"}, 0),
        ({"shape": [2], "draw": "normal", "scale": 0.1}, [0.0443858951, 0.000312298827]),
        ({"shape": [2], "draw": "uniform", "low": 1, "high": 3}, [2.00669765, 2.95191455]),
    ],
)
def test_a_weight_follows_from_its_name(entry, expected):
    array = draw("head.weight", entry)
    assert array.dtype == entry.get("dtype", "float32")
    np.testing.assert_allclose(array, expected, rtol=1e-6)


DRAWN = [
    *(pytest.param(name, marks=() if "retinanet_R_18" in name else pytest.mark.thorough) for name in names()),
    *(pytest.param(name, marks=pytest.mark.exhaustive) for name in names(full=True)),
]


@pytest.mark.parametrize("name", DRAWN)
def test_weights_are_those_of_the_framework(name):
    model, crc = GoldenModel(name), 0
    for array in model.weights().values():
        crc = zlib.crc32(array.tobytes(), crc)
    assert crc == model.config["weights_crc32"]


@pytest.mark.parametrize("name", names())
def test_photographs_and_detections_are_whole(name):
    model = GoldenModel(name)
    sizes = [path.stat().st_size for path in model.folder.iterdir()]
    assert sum(sizes) <= LARGEST
    for photo in model.photos:
        facts, arrays, img = model.facts[photo], model.arrays(photo), model.image(photo)
        rgb = img.transpose(1, 2, 0).astype(np.uint8)
        assert list(rgb.shape[:2]) == facts["photo_size"]
        assert hashlib.sha256(rgb.tobytes()).hexdigest() == facts["photo_sha256_of_rgb"]
        assert len(arrays["boxes"]) == len(arrays["scores"]) == len(arrays["classes"]) == facts["n_detections"]
        assert (np.diff(arrays["scores"]) <= 0).all()
        for area, rle in zip(arrays.get("mask_areas", ()), facts.get("mask_rle", ()), strict=False):
            assert sum(rle["counts"][1::2]) == area


def test_there_are_small_models_of_both_frameworks():
    assert {name.partition("/")[0] for name in names()} == {"detectron2", "mmdetection"}
    assert {path.stem for path in (HERE / "photos").iterdir()} == {"astronaut_320", "chelsea_225", "coffee_300"}


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("detectron2/small_retinanet_R_18_FPN", "detectron2"),
        ("mmdetection/small_faster-rcnn_r50-caffe_fpn", "mmdetection_caffe"),
    ],
)
def test_a_model_says_whose_rules_it_follows(name, rules):
    assert GoldenModel(name).rules == rules


def test_a_checkpoint_holds_the_weights(tmp_path):
    from weights_convert import read_checkpoint

    model = GoldenModel("mmdetection/small_retinanet_r18_fpn")
    assert model.options == {"min_size": 256, "max_size": 360}
    assert model.rules == "mmdetection"
    read, drawn = read_checkpoint(model.write(tmp_path)), model.weights()
    assert read.keys() == drawn.keys()
    np.testing.assert_array_equal(read["bbox_head.retina_cls.weight"], drawn["bbox_head.retina_cls.weight"])


def _found(model, photo):
    answers = model.arrays(photo)
    return Detections(answers["boxes"][:, [1, 0, 3, 2]], answers["classes"], answers["scores"])


def test_a_detection_matches_once_and_only_its_own():
    model = GoldenModel("detectron2/small_retinanet_R_18_FPN")
    photo = model.photos[0]
    own = _found(model, photo)
    n = len(own)
    assert compare.count_matched(model, photo, own) == n
    assert compare.count_matched(model, photo, Detections(own.bbox[::-1], own.label[::-1], own.score[::-1])) == n
    first = [0] * n
    assert compare.count_matched(model, photo, Detections(own.bbox[first], own.label[first], own.score[first])) == 1
    for changed in (
        Detections(own.bbox + 0.06, own.label, own.score),
        Detections(own.bbox, own.label + 1, own.score),
        Detections(own.bbox, own.label, own.score + 2e-5),
        Detections(own.bbox[:0], own.label[:0], own.score[:0]),
    ):
        assert compare.count_matched(model, photo, changed) == 0


def test_a_stage_that_differs_is_named():
    model = GoldenModel("detectron2/small_retinanet_R_18_FPN")
    photo = model.photos[0]
    levels = [model.arrays(photo)[f"feature_sample/p{level}"].reshape(1, 1, 8, 8) for level in range(3, 8)]
    compare.check_maps(model, photo, "feature", levels)
    levels[2] = levels[2] * (1 + 1e-7)
    with pytest.raises(AssertionError, match="feature_sample/p5"):
        compare.check_maps(model, photo, "feature", levels)


def test_the_documented_table_counts_the_detections_there_are():
    rows = golden_table.rows(golden_table.PAGE.read_text(encoding="utf-8"))
    for name in rows.keys() & {*names(), *names(full=True)}:
        n = sum(facts["n_detections"] for facts in GoldenModel(name).facts.values())
        assert rows[name].startswith(f"| {name.replace('/', ' ')} | {n} of {n} | ")
    assert set(names()) <= rows.keys()


def test_a_row_of_the_table_replaces_its_former_self():
    first, second, other = "| detectron2 x | 1 |", "| detectron2 x | 2 |", "| mmdetection y | 3 |"
    page = golden_table.with_rows(f"above {golden_table.BEGIN}{golden_table.END} below", {"detectron2/x": first})
    page = golden_table.with_rows(page, {"detectron2/x": second, "mmdetection/y": other})
    assert golden_table.rows(page) == {"detectron2/x": second, "mmdetection/y": other}
    assert page.startswith("above ")
    assert page.endswith(" below")
