"""What there is of each class: counted, checked, and shown before a training and in its report."""

import argparse
import json

import pytest
from PIL import Image

from chainfpn.cli.console import WarnOnce
from chainfpn.cli.errors import CommandError
from chainfpn.cli.main import main
from chainfpn.cli.training_classes import check_classes, class_table, count_classes
from chainfpn.datasets import ConcatDataset, open_dataset
from reference.training import SLIM_TRAINING

SLIM = [*SLIM_TRAINING, "--epochs", "1"]
#: Index of the image and of the category, and whatever else is not as usual.
ANNOTATIONS = [(0, 0, {}), (0, 0, {}), (0, 1, {}), (1, 1, {}), (1, 7, {}), (1, 0, {"bbox": "1,2,3,4"}), (3, 0, {})]
OUTLINE = [[1, 1, 21, 1, 21, 21]]


@pytest.fixture
def coco(tmp_path):
    """Four images: two of cats and dogs, one of nothing, and one that has another size than it should; no bird."""
    for i in range(4):
        Image.new("RGB", (64, 48)).save(tmp_path / f"{i}.png")
    entries = [
        {"id": k, "image_id": i, "category_id": category, "bbox": [1, 1, 20, 20], "segmentation": OUTLINE, **more}
        for k, (i, category, more) in enumerate(ANNOTATIONS)
    ]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 65 if i == 3 else 64, "height": 48} for i in range(4)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(("cat", "dog", "bird"))],
        "annotations": entries,
    }
    (tmp_path / "x.json").write_text(json.dumps(content))
    return tmp_path


EXPECTED = {
    "images": 3,
    "left_out": {
        "objects of an unknown category": 1,
        "objects without a box of four numbers": 1,
        "images of another size than annotated": 1,
    },
    "classes": {
        "cat": {"objects": 2, "images": 1},
        "dog": {"objects": 2, "images": 2},
        "bird": {"objects": 0, "images": 0},
        "(no object)": {"objects": 0, "images": 1},
    },
}
TABLE = """\
class        objects  images
cat                2       1
dog                2       2
bird               0       0
(no object)        0       1
left out: 1 objects of an unknown category, 1 objects without a box of four numbers, \
1 images of another size than annotated
"""


def test_objects_and_images_are_counted(coco, capsys):
    data = ConcatDataset(open_dataset(coco, annotations=coco / "x.json"))
    counts = count_classes(data, data.left_out, WarnOnce())
    assert len(counts.pop("sha256")) == 64
    assert counts == EXPECTED
    assert capsys.readouterr().err.splitlines() == [
        f"{coco}/x.json: object 4 of 1.png must have a known category, got 7: left out",
        f"{coco}/x.json: object 5 of 1.png must have a bbox of 4 numbers, got '1,2,3,4': left out",
        f"{coco}/3.png: must be 48x65 pixels high and wide as annotated, got (48, 64): left out",
    ]
    assert class_table({"training": counts, "validation": None}) + "\n" == TABLE
    classes = {"cat": counts["classes"]["cat"], "Dog": {"objects": 3, "images": 1}}
    both = class_table({"training": counts, "validation": {"left_out": {"crowds": 1}, "classes": classes}}).splitlines()
    assert [line.split("  ")[0] for line in both[:6]] == ["class", "cat", "dog", "bird", "Dog", "(no object)"]
    assert both[0] == "class        objects  images  validation objects  validation images"
    assert [line.split()[-4:] for line in both[1:5]] == [
        ["2", "1", "2", "1"], ["2", "2", "-", "-"], ["0", "0", "-", "-"], ["-", "-", "3", "1"],
    ]  # fmt: skip
    assert both[-1] == "left out to validate with: 1 crowds"


def test_a_training_counts_objects_with_masks_where_it_needs_them(coco, capsys):
    pytest.importorskip("pycocotools")
    content = json.loads((coco / "x.json").read_text())
    content["annotations"][0]["segmentation"] = []
    (coco / "x.json").write_text(json.dumps(content))
    data = ["--data", str(coco), "--annotations", str(coco / "x.json"), "--batch", "1", "--samples", "0"]
    for model, n, reason in (("fasterrcnn", 2, ""), ("maskrcnn", 1, ", 1 objects without a mask")):
        out = coco / model
        assert main(["train", *data, *SLIM, "--model", f"{model}_resnet_fpn", "--out", str(out)]) == 0
        table = TABLE.replace("cat                2", f"cat                {n}").removesuffix("\n") + reason + "\n"
        printed = capsys.readouterr().out
        assert printed.partition("\n")[2].startswith(table)
        last = printed.splitlines()[-2]
        assert sorted(last.removeprefix("left out: ").split(", ")) == sorted(
            table.splitlines()[-1].removeprefix("left out: ").split(", ")
        )
        page = (out / "report.html").read_text()
        assert f'<tr><th>cat</th><td class="n">{n}</td><td class="n">1</td></tr>' in page
        assert "<p>left out: 1 objects of an unknown category, 1 objects without a box of four numbers" in page
        assert json.loads((out / "train.json").read_text())["data"]["training"]["images"] == 3


def refused(coco, capsys, *more):
    command = ["train", "--data", str(coco), "--annotations", str(coco / "x.json"), *SLIM, *more]
    assert main([*command, "--out", str(coco / "out")]) == 1
    assert not (coco / "out" / "train.json").exists()
    return capsys.readouterr().err.splitlines()[-1]


def test_a_class_without_objects_is_not_trained_on(coco, capsys):
    error = refused(coco, capsys, "--names", "cat,bird")
    assert error == "chainfpn train: --names: must be of objects in the data, cat, got bird"
    error = refused(coco, capsys, "--names", "cat,Dog")
    assert error == f"chainfpn train: {coco}/x.json: has no category 'Dog'; it has cat, dog, bird"
    error = refused(coco, capsys, "--names", "cat,cat")
    assert error.endswith("x.json: two of its names of labels have one name, 'cat' ('cat' and 'cat')")


def test_data_without_objects_are_refused(coco, capsys):
    content = json.loads((coco / "x.json").read_text())
    for entry in content["annotations"]:
        entry["bbox"] = "none"
    (coco / "x.json").write_text(json.dumps(content))
    assert refused(coco, capsys) == (
        "chainfpn train: --data: has no object to learn from; left out: 6 objects without a box of four numbers, "
        "1 objects of an unknown category, 1 images of another size than annotated"
    )


def test_classes_that_nobody_asked_for_may_have_no_objects():
    check_classes(EXPECTED, argparse.Namespace(names=None))
    with pytest.raises(CommandError, match="--names: must be of objects in the data, cat, dog, got bird"):
        check_classes(EXPECTED, argparse.Namespace(names=["cat", "bird"]))


def test_shares_of_an_image_are_no_boxes(coco, capsys):
    path = coco / "x.json"
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        entry["bbox"] = [0.25, 0.25, 0.5, 0.75]
    path.write_text(json.dumps(content))
    assert main(["train", "--data", str(coco), *SLIM, "--out", str(coco / "run")]) == 1
    assert "--data: boxes must be in pixels, but none reaches beyond 1; shares of the image are YOLO's" in (
        capsys.readouterr().err
    )
    assert not (coco / "run" / "train.json").exists()
