"""Small data sets as people have them: what ``chainfpn data`` says of each, and the boxes that it writes again.

Most are of public reports: detectron2#788, #863, #1531, #2463, maskrcnn-benchmark#726, jetson-inference#903.
"""

import json

import pytest
from PIL import Image

from chainfpn.cli.main import main
from reference.small_files import picture, write

XML = (
    '<?xml version="1.0" encoding="{encoding}"?><annotation><size><width>{size[0]}</width><height>{size[1]}</height>'
    "<depth>3</depth></size><object><name>{name}</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>50</xmax>"
    "<ymax>60</ymax></bndbox></object></annotation>"
)
#: To be turned clockwise.
EXIF = Image.Exif()
EXIF[0x0112] = 6


def box(i, x=1, **more):
    return {"id": i, "image_id": 1, "category_id": 1, "bbox": [x, 1, 20, 10], **more}


def coco(*annotations, file="images/0.jpg", to="annotations/instances_default.json", name="a", exif=None, **size):
    """Write an image and its JSON."""

    def write_it(folder):
        picture(folder / file, **({"exif": exif} if exif else {}))
        content = {"images": [{"id": 1, "file_name": "0.jpg", **size}], "categories": [{"id": 1, "name": name}]}
        write(folder / to, {**content, "annotations": annotations or [box(1)]})

    return write_it


def voc(stem="a", name="cell", encoding="UTF-8", size=(96, 64), images="JPEGImages", xml="Annotations", **options):
    """Write an image and its XML, and a list of both."""

    def write_it(folder):
        picture(folder / images / f"{stem}.jpg", **options)
        write(folder / xml / f"{stem}.xml", XML.format(encoding=encoding, name=name, size=size).encode(encoding))
        if images == "JPEGImages":
            write(folder / "ImageSets" / "Main" / "train.txt", f"{stem}\n")

    return write_it


def yolo(folder):
    picture(folder / "images" / "train" / "0.jpg")
    write(folder / "labels" / "train" / "0.txt", "0 0.5 0.5 0.25 0.5\n")
    write(folder / "data.yaml", "path: .\ntrain: images/train\nval: images/train\nnames:\n  0: cell\n")


def csv(folder):
    picture(folder / "0.jpg")
    write(folder / "a.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n0.jpg,96,64,cell,1,1,21,11\n")


def damage(function):
    """Write COCO's data and change their JSON."""

    def write_it(folder):
        coco(box(1), box(2, x=40))(folder)
        picture(folder / "images" / "1.jpg")
        path = folder / "annotations" / "instances_default.json"
        content = json.loads(path.read_text())
        function(content)
        path.write_text(json.dumps(content))

    return write_it


VOC_BOX, COCO_BOX = [4, 4, 46, 56], [1, 1, 20, 10]
#: What writes the set, and the class, the boxes (x, y, width, height) and the image's height that are right.
GOOD = {
    "VOC": (voc(), "cell", [VOC_BOX], 64),
    "a class called 3": (coco(name=3), "3", [COCO_BOX], 64),
    "annotated upright": (coco(exif=EXIF, height=96, width=64), "a", [COCO_BOX], 96),
    "annotated as stored": (coco(exif=EXIF, height=64, width=96), "a", [[53, 1, 10, 20]], 96),
    "annotated upright in VOC": (voc(size=(64, 96), exif=EXIF), "cell", [VOC_BOX], 96),
    "an outline, none, an empty one": (
        coco(box(1, segmentation=[[1, 1, 21, 1, 21, 11]]), box(2, x=31), box(3, x=60, segmentation=[])),
        *("a", [COCO_BOX, [31, 1, 20, 10], [60, 1, 20, 10]], 64),
    ),
    "numbers as texts": (coco(box("1", image_id="1", category_id="1"), height="64", width="96"), "a", [COCO_BOX], 64),
    "a blank": (voc("my photo"), "cell", [VOC_BOX], 64),
    "Latin 1": (voc(name="Käfer", encoding="ISO-8859-1"), "Käfer", [VOC_BOX], 64),
    "UTF-16": (voc(name="Käfer", encoding="UTF-16"), "Käfer", [VOC_BOX], 64),
    "labelImg": (voc(images=".", xml="."), "cell", [VOC_BOX], 64),
    "XML in annotations": (voc(images="images", xml="annotations"), "cell", [VOC_BOX], 64),
    "Roboflow": (coco(file="train/0.jpg", to="train/_annotations.coco.json"), "a", [COCO_BOX], 64),
    "CVAT": (coco(), "a", [COCO_BOX], 64),
    "CSV": (csv, "cell", [COCO_BOX], 64),
}


@pytest.mark.parametrize(("write_it", "name", "boxes", "height"), GOOD.values(), ids=GOOD)
def test_a_good_set(write_it, name, boxes, height, tmp_path, capsys):
    folder, out = tmp_path / "set", tmp_path / "out"
    write_it(folder)
    assert main(["data", str(folder), "--to", "coco", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = [line.split() for line in captured.out.splitlines()]
    assert lines[-3:-1] == [[name, str(len(boxes)), "1"], ["(no", "object)", "0", "0"]]
    content = json.loads((out / "instances.json").read_text())
    assert [category["name"] for category in content["categories"]] == [name]
    assert [entry["bbox"] for entry in content["annotations"]] == boxes
    assert [image["height"] for image in content["images"]] == [height]
    assert (out / "sheet.jpg").exists()


def test_every_split_is_shown(tmp_path, capsys):
    folder, out = tmp_path / "set", tmp_path / "out"
    yolo(folder)
    assert main(["data", str(folder), "--to", "coco", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"{folder}: splits train, val", f"{folder}, train: YOLO, 1 images"]
    assert f"{folder}, val: YOLO, 1 images" in lines
    for split in ("train", "val"):
        (entry,) = json.loads((out / split / "instances.json").read_text())["annotations"]
        assert entry["bbox"] == [36, 16, 24, 32]
    assert main(["data", str(folder), "--split", "val"]) == 0
    assert capsys.readouterr().out.startswith(f"{folder}, val: YOLO, 1 images\n")


def test_a_split_that_is_not_there_leaves_the_others(tmp_path, capsys):
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\ntest: images/train\nnames: [cell]\n")
    assert main(["data", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert [line for line in captured.out.splitlines() if "YOLO" in line] == [
        f"{tmp_path}, {split}: YOLO, 1 images" for split in ("train", "test")
    ]
    assert captured.err == f"val: {tmp_path / 'data.yaml'}: images/val is neither in {tmp_path} nor beside the file\n"


def test_the_lists_of_voc_are_shown(tmp_path, capsys):
    voc()(tmp_path)
    for name in ("val", "cell_val"):
        write(tmp_path / "ImageSets" / "Main" / f"{name}.txt", "a\n")
    assert main(["data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}: VOC, 1 images\nsplits: train, val\n")


LEFT_OUT = {
    "another size": (voc(size=(192, 128)), "images of another size than annotated", 0),
    "a short box": (coco(box(1, bbox=[1, 2, 3]), box(2)), "objects without a box of four numbers", 1),
    "a text for a box": (coco(box(1, bbox="1,2,3,4"), box(2)), "objects without a box of four numbers", 1),
    "an unknown category": (coco(box(1, category_id=7), box(2)), "objects of an unknown category", 1),
    "no area": (coco(box(1, bbox=[1, 1, 0, 5]), box(2)), "boxes without an area within the image", 2),
}


@pytest.mark.parametrize(("write_it", "reason", "n"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_left_out_is_counted(write_it, reason, n, tmp_path, capsys):
    write_it(tmp_path)
    assert main(["data", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == f"left out: 1 {reason}"
    assert captured.err.count("\n") == 1
    assert [line.split()[-2:] for line in captured.out.splitlines()][-3][0] == str(n)


WRONG = {
    "two images of one id": (
        damage(lambda content: content["images"].append({"id": 1, "file_name": "1.jpg"})),
        "two of its images have one id, 1 ('0.jpg' and '1.jpg')",
    ),
    "two categories of one id": (
        damage(lambda content: content["categories"].append({"id": 1, "name": "b"})),
        "two of its categories have one id, 1 ('a' and 'b')",
    ),
    "no category": (damage(lambda content: content.update(categories=[])), "has no category to learn"),
    "null": (damage(lambda content: content.update(annotations=None)), "annotations must be a list, got null"),
}


@pytest.mark.parametrize(("write_it", "message"), WRONG.values(), ids=WRONG)
def test_what_would_teach_something_wrong_is_refused(write_it, message, tmp_path, capsys):
    write_it(tmp_path)
    for command in (["data", str(tmp_path)], ["train", "--data", str(tmp_path), "--out", str(tmp_path / "out")]):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert f"{tmp_path / 'annotations' / 'instances_default.json'}: {message}\n" in error
        assert error.count("\n") == 1


def test_a_class_in_other_letters_is_refused(tmp_path, capsys):
    voc()(tmp_path)
    assert main(["data", str(tmp_path), "--names", "Cell"]) == 1
    assert capsys.readouterr().err == f"chainfpn data: {tmp_path}: has no category 'Cell'; it has cell\n"
