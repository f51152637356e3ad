"""The tables of docs/models.md: every model is there, and what they say is within what the tests allow."""

import pathlib

import pytest

import parity
from chainfpn import models
from reference import classifier_cases, detector_cases

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: Builders without a row, because they have no size of their own: they take any ResNet. Where they are held against
#: torchvision, each on another trunk.
ON_ANY_RESNET = {
    "fasterrcnn_resnet_fpn",
    "fasterrcnn_resnet_fpn_v2",
    "fcos_resnet_fpn",
    "keypointrcnn_resnet_fpn",
    "maskrcnn_resnet_fpn",
    "maskrcnn_resnet_fpn_v2",
    "retinanet_resnet_fpn",
    "retinanet_resnet_fpn_v2",
}
#: Builders of what torchvision has not, and where plain loops compute the same.
NOT_TORCHVISIONS = {"cascade_rcnn_resnet_fpn", "cascade_mask_rcnn_resnet_fpn"}
#: A part of the detectors, and no model of its own.
PYRAMID = "resnet_fpn_backbone"
TESTS = ROOT / "tests" / "chainfpn_tests"
TESTED = {
    TESTS / "models_tests" / "test_detectors.py": ON_ANY_RESNET,
    TESTS / "links_tests" / "test_cascade_roi_heads.py": NOT_TORCHVISIONS,
}


def lines(name):
    """Return the lines of a table of the page, split into cells."""
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    text = page.split(f"<!-- begin: benchmarks/parity.py {name} -->\n")[1].split("\n<!-- end:")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_every_classifier_is_near():
    rows = lines("classifiers")
    assert [row[0].strip("`") for row in rows] == [
        b for _, _, builders in classifier_cases.FAMILIES.values() for b in builders
    ]
    assert all(float(row[2]) <= 1e-4 for row in rows)
    assert {row[0].strip("`") for row in rows if row[3]} == classifier_cases.DOUBLE
    assert all(float(row[3]) <= 1e-10 for row in rows if row[3])


def test_every_detector_is_near():
    rows = lines("detectors")
    assert [row[0].strip("`") for row in rows] == list(detector_cases.CASES)
    for row in rows:
        map32, map64, head32, head64, pixels = map(float, row[2:7])
        assert max(map32, head32) <= 1e-4
        assert max(map64, head64) <= 1e-10
        assert pixels <= 1e-4  # the default boxes of SSD are float32 numbers


def test_every_network_of_kuangliu_is_near():
    rows = lines("kuangliu")
    assert [row[0].strip("`") for row in rows] == list(detector_cases.KUANGLIU_CASES)
    for row in rows:
        map32, map64, head32, head64, pixels = (float(cell) if cell else 0 for cell in row[2:])
        assert max(map32, head32) <= 1e-4
        assert max(map64, head64) <= 1e-10
        assert pixels <= 1e-4  # the anchors are float32 numbers
    assert rows[0][4] != ""


def test_every_builder_has_a_line():
    named = [row[0].strip("`") for name in ("classifiers", "detectors", "kuangliu") for row in lines(name)]
    assert sorted([*named, *ON_ANY_RESNET, *NOT_TORCHVISIONS, PYRAMID]) == sorted(models.MODELS)
    for path, names in TESTED.items():
        source = path.read_text(encoding="utf-8")
        assert all(f'"{name}"' in source for name in names)


def test_every_published_detector_has_a_case():
    published = {name for name, model in models.MODELS.items() if "COCO_V1" in model.weights}
    assert published == set(detector_cases.CASES)


def test_a_line_is_made_of_the_model_its_size_and_what_is_published():
    assert parity.row("resnet18", ["x"]) == "| `resnet18` | 11,689,512 | x |"
    assert parity.figures("maskrcnn_resnet50_fpn", "box", "mask", "keypoint") == "37.9, 34.6"
    with pytest.raises(SystemExit, match="resnet18 has 3 parameters, torchvision's 4"):
        parity.require_equal("resnet18", 3, 4)
