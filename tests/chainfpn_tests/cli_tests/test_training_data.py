"""What ``chainfpn train`` opens: to train with, to validate with."""

import argparse
import json

import pytest
from PIL import Image

from chainfpn import datasets
from chainfpn.cli.console import WarnOnce
from chainfpn.cli.errors import CommandError
from chainfpn.cli.train import DEFAULTS
from chainfpn.cli.training_data import file_names, left_out, make_iterator, open_data
from chainfpn.datasets._left_out import LeftOut, Omission

OBJECT = """<object><name>{}</name><difficult>{}</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object>"""


def settings(**options):
    """Return the options of ``chainfpn train``."""
    return argparse.Namespace(**{**DEFAULTS, **options})


@pytest.fixture
def voc(tmp_path):
    """Two images in VOC's form, each with a dog, and a cat that is difficult."""
    for folder in ("JPEGImages", "Annotations"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (64, 48)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
        objects = OBJECT.format("dog", 0) + OBJECT.format("cat", 1)
        (tmp_path / "Annotations" / f"{name}.xml").write_text(f"<annotation>{objects}</annotation>")
    return tmp_path


@pytest.fixture
def coco(tmp_path):
    """An image in COCO's form with a cat and a crowd of cats: the folder and the JSON."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "a.png")
    cats = [{"id": i, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 40], "iscrowd": i} for i in (0, 1)]
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": cats,
    }
    (tmp_path / "x.json").write_text(json.dumps(content))
    return tmp_path / "images", tmp_path / "x.json"


def test_images_held_out_keep_what_is_difficult(voc, tmp_path):
    (tmp_path / "list.txt").write_text("b.jpg\n")
    train, validation = open_data(settings(data=[str(voc)], held_out=str(tmp_path / "list.txt")))
    assert [data.file_name(0)[-5:] for data in (train, validation)] == ["a.jpg", "b.jpg"]
    assert [len(data) for data in (train, validation)] == [1, 1]
    assert train.read(0, ["difficult"])[0].tolist() == [False]
    assert validation.read(0, ["difficult"])[0].tolist() == [False, True]


def test_a_share_is_held_out_and_named():
    told = settings(data=["shapes:10"], held_out="0.3")
    sides = open_data(told)
    names = [file_names(*pair) for pair in (sides, sides[::-1])]
    assert [len(side) for side in names] == [7, 3]
    assert len({*names[0], *names[1]}) == 10
    assert file_names(*open_data(settings(data=["shapes:10"], held_out="0.3", seed=1))) != names[0]
    assert file_names(*open_data(told)) == names[0]


@pytest.mark.parametrize("share", ["0", "1", "40", "nan", "inf"])
def test_a_share_must_leave_images_on_both_sides(share):
    with pytest.raises(CommandError, match=f"leaves images on both sides, got {share} of 10"):
        open_data(settings(data=["shapes:10"], held_out=share))


def test_names_have_folders_where_two_images_have_one():
    shapes = datasets.ShapesDataset(2, 64)
    assert file_names(shapes, shapes) == [shapes.file_name(0), shapes.file_name(1)]


def test_other_data_keep_crowds(coco):
    images, annotations = map(str, coco)
    train, validation = open_data(
        settings(data=[images], annotations=annotations, validation=images, validation_annotations=annotations)
    )
    assert train.read(0, ["crowded"])[0].tolist() == [False]
    assert validation.read(0, ["crowded"])[0].tolist() == [False, True]


def test_data_to_validate_with_may_have_other_labels_too(voc, coco):
    images, annotations = map(str, coco)
    train, validation = open_data(
        settings(data=[str(voc)], names=["dog"], validation=images, validation_annotations=annotations)
    )
    assert (train.label_names, validation.label_names) == (("dog",), ("cat", "dog"))


def test_what_is_pasted_is_of_any_label_and_never_held_out(tmp_path, monkeypatch):
    pytest.importorskip("pycocotools")
    (tmp_path / "images").mkdir()
    for i in (1, 2):
        Image.new("RGB", (64, 48)).save(tmp_path / "images" / f"{i}.png")
    square = [[10, 10, 30, 10, 30, 30, 10, 30]]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in (1, 2)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 2, "bbox": [10, 10, 20, 20], "segmentation": square} for i in (1, 2)
        ],
    }
    (tmp_path / "x.json").write_text(json.dumps(content))
    (tmp_path / "list.txt").write_text("2\n")
    asked = []
    monkeypatch.setattr(datasets, "RandomPaste", lambda *args, **kwargs: asked.append((args, kwargs)) or (lambda x: x))
    told = settings(
        data=[str(tmp_path / "images")],
        annotations=str(tmp_path / "x.json"),
        names=["cat"],
        held_out=str(tmp_path / "list.txt"),
        paste=0.3,
        batch=1,
    )
    make_iterator(open_data(told)[0], told)
    (((source,), label_names), options) = asked[0]
    assert (label_names, options) == (("cat",), {"probability": 0.3})
    assert [source.file_name(i)[-5:] for i in range(len(source))] == ["1.png"]
    assert source.label_names == ("cat", "dog")
    label, mask = source.read(0, ("label", "mask"))
    assert label.tolist() == [1]
    assert mask.sum() == pytest.approx(400, rel=0.1)


def test_nothing_to_paste(voc):
    told = settings(data=[str(voc)], paste=0.5, batch=1)
    data, _ = open_data(told)
    with pytest.raises(CommandError, match=rf"--paste: needs masks, which {voc} has not"):
        make_iterator(data, told)


def test_each_warning_is_printed_once(capsys):
    warn = WarnOnce()
    for message in ("a", "b", "a"):
        warn(message)
    assert capsys.readouterr().err == "a\nb\n"
    assert warn.warnings == {"a", "b"}


def test_of_one_reason_some_warnings_are_printed_and_all_counted(capsys):
    warn = WarnOnce()
    for i in range(30):
        warn(Omission(f"{i}.png: is bad", "bad images"))
    warn(Omission("x.png: is odd", "odd images"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:20] == [f"{i}.png: is bad: left out" for i in range(20)]
    assert lines[20:] == ["more bad images are only counted", "x.png: is odd: left out"]
    assert len(warn.warnings) == 31


READ, FOUND = "crowds", "images that cannot be read"


@pytest.mark.parametrize(
    ("of_readers", "found", "warnings", "sentence"),
    [
        ({}, {}, [], ""),
        ({READ: 2}, {}, [], "left out: 2 crowds"),
        ({READ: 2}, {FOUND: 1}, [], "left out: 1 images that cannot be read, 2 crowds"),
        ({}, {}, [("a", FOUND), ("b", FOUND)], "left out to validate with: 2 images that cannot be read"),
        ({}, {FOUND: 1}, [("a", READ)], "left out: 1 images that cannot be read\nleft out to validate with: 1 crowds"),
    ],
)
def test_what_is_left_out_is_counted_by_reason(of_readers, found, warnings, sentence):
    readers, everything = LeftOut(), LeftOut()
    readers.counts.update(of_readers)
    everything.counts.update({**of_readers, **found})
    data = argparse.Namespace(left_out=everything, dataset=argparse.Namespace(left_out=readers))
    validation = argparse.Namespace(warnings={Omission(*warning) for warning in warnings})
    assert left_out(data, validation, None) == sentence


def test_names_that_choose_nothing_are_refused():
    with pytest.raises(CommandError, match="--names cannot choose from shapes:2, whose labels are circle, square, tri"):
        open_data(settings(data=["shapes:2"], names=["circle"]))
