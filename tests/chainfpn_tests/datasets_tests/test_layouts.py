"""Folders as tools leave them are opened as they are: the right boxes of each."""

import json
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from chainfpn.datasets import CSVDataset, DataError, VOCDataset, YOLODataset, open_dataset
from reference.small_files import picture, write

XML = (
    '<?xml version="1.0" encoding="{encoding}"?><annotation><size><width>96</width><height>64</height></size>'
    "<object><name>{name}</name><bndbox><xmin>5</xmin><ymin>9</ymin><xmax>50</xmax><ymax>30</ymax></bndbox></object>"
    "</annotation>"
)
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 20, 10]}
VOC_BB, COCO_BB, YOLO_BB = [8, 4, 30, 50], [2, 1, 12, 21], [16, 36, 48, 60]
SHAPE = {"x": 1, "y": 2, "width": 20, "height": 10, "rectanglelabels": ["cell"]}
SHAPE |= {"original_width": 96, "original_height": 64}
YAML = "names:\n  0: cell\n  1: egg\n"


def coco(file_name="0.jpg", annotations=(BOX,)):
    content = {"images": [{"id": 1, "file_name": file_name}], "categories": [{"id": 1, "name": "cell"}]}
    return content if annotations is None else {**content, "annotations": list(annotations)}


def xml(name="cell", encoding="UTF-8"):
    return XML.format(name=name, encoding=encoding).encode(encoding)


#: What lies in the folder: images, other files; what is given of it, and its one box.
LAYOUTS = {
    "COCO with the images in images": (["images/0.jpg"], {"annotations/instances_default.json": coco()}, {}, COCO_BB),
    "one JSON beside the images": (["0.jpg"], {"a.json": coco()}, {}, COCO_BB),
    "one JSON in annotations": (["images/0.jpg"], {"annotations/train.json": coco()}, {}, COCO_BB),
    "Roboflow": (["train/0.jpg"], {"train/_annotations.coco.json": coco()}, {}, COCO_BB),
    "Label Studio": (["images/0.jpg"], {"result.json": coco("images\\0.jpg")}, {}, COCO_BB),
    "folders of another machine": (["images/0.jpg"], {"result.json": coco("../data/upload/0.jpg")}, {}, COCO_BB),
    "LVIS": (
        ["val2017/0.jpg"],
        {
            "annotations/lvis_v1_val.json": {
                **{"images": [{"id": 1, "coco_url": "http://images.cocodataset.org/val2017/0.jpg"}]},
                **{"categories": [{"id": 1, "name": "cell"}], "annotations": [BOX]},
            }
        },
        {},
        COCO_BB,
    ),
    "XML beside the images": (["0.webp"], {"0.xml": xml()}, {}, VOC_BB),
    "XML in annotations": (["images/0.tif"], {"annotations/0.xml": xml()}, {}, VOC_BB),
    "XML in a folder of any name": (["images/0.jpg"], {"annots/0.xml": xml()}, {}, VOC_BB),
    "XML in a folder below": (["images/0.png"], {"annotations/xmls/0.xml": xml()}, {}, VOC_BB),
    "XML of a split": (["train/0.jpg"], {"train/0.XML": xml(), "valid/1.xml": xml()}, {"split": "train"}, VOC_BB),
    "XML of a split in folders": (["train/images/0.jpg"], {"train/annotations/0.xml": xml()}, {}, VOC_BB),
    "a JSON beside a folder of any name": (["data/0.jpg"], {"labels.json": coco()}, {}, COCO_BB),
    "a blank": (
        ["JPEGImages/my photo.jpg"],
        {"Annotations/my photo.xml": xml(), "ImageSets/Main/train.txt": "my photo\n"},
        {"split": "train"},
        VOC_BB,
    ),
    "a suffix and a backslash": (
        ["JPEGImages/my photo.jpg"],
        {"Annotations/my photo.xml": xml(), "ImageSets/Main/train.txt": "JPEGImages\\my photo.jpg  1\n"},
        {"split": "train"},
        VOC_BB,
    ),
    "a yaml from its path": (
        ["sets/images/train/0.jpg"],
        {
            "data.yaml": f"path: sets\ntrain: images/train\nval: images/val\n{YAML}",
            "sets/labels/train/0.txt": "1 0.5 0.5 0.25 0.5\n",
        },
        {"split": "train"},
        YOLO_BB,
    ),
    "a yaml without a path": (
        ["images/0.gif"],
        {"data.yml": "train: [images]\nnames: [cell, egg]\n", "labels/0.txt": "1 0.5 0.5 0.25 0.5"},
        {},
        YOLO_BB,
    ),
    "Roboflow's yaml": (
        ["train/images/0.jpg"],
        {"data.yaml": f"train: ../train/images\n{YAML}", "train/labels/0.txt": "1 0.5 0.5 0.25 0.5"},
        {},
        YOLO_BB,
    ),
    "a yaml with a list": (
        ["images/0.jpg"],
        {"d.yaml": f"train: train.txt\n{YAML}", "train.txt": "./images/0.jpg\n", "labels/0.txt": "1 .5 .5 .25 .5"},
        {},
        YOLO_BB,
    ),
    "an outline": (
        ["images/0.jpg"],
        {"d.yaml": f"train: images\n{YAML}", "labels/0.txt": "1 0.375 0.25 0.625 0.5 0.5 0.75"},
        {},
        YOLO_BB,
    ),
    "classes.txt": (["0.jpg"], {"classes.txt": "cell\negg\n", "0.txt": "1 0.5 0.5 0.25 0.5"}, {}, YOLO_BB),
    "CVAT's YOLO": (
        ["obj_train_data/0.jpg"],
        {"obj.names": "cell\negg\n", "obj_train_data/0.txt": "1 0.5 0.5 0.25 0.5"},
        {},
        YOLO_BB,
    ),
    "CSV": (
        ["images/0.bmp"],
        {"labels.csv": "filename,width,height,class,xmin,ymin,xmax,ymax\n0.bmp,96,64,cell,1,2,21,12\n"},
        {},
        COCO_BB,
    ),
    "CSV with other names": (["0.jpg"], {"x.csv": "image,x1,y1,x2,y2,label\n0.jpg,1,2,21,12,cell\n"}, {}, COCO_BB),
}


@pytest.mark.parametrize(("images", "files", "options", "bb"), LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_is_found(images, files, options, bb, tmp_path):
    for image in images:
        picture(tmp_path / image)
    for name, content in files.items():
        write(tmp_path / name, content)
    data = open_dataset(tmp_path, **options)
    assert len(data) == 1
    img, bbox, label = data[0]
    assert img.shape == (3, 64, 96)
    np.testing.assert_allclose(bbox, [bb])
    name = "egg" if bb == YOLO_BB else "cell"
    assert [data.label_names[i] for i in label] == [name]
    assert open_dataset(tmp_path, **options, label_names=[name]).label_names == (name,)
    assert not data.left_out.counts


@pytest.mark.parametrize("name", ["data.yaml", "a.json", "x.csv"])
def test_a_file_may_be_named_instead_of_its_folder(name, tmp_path):
    picture(tmp_path / "images" / "0.jpg")
    write(tmp_path / "data.yaml", f"train: images\nval: images\n{YAML}")
    write(tmp_path / "a.json", coco())
    write(tmp_path / "x.csv", "image,x1,y1,x2,y2,label\n0.jpg,1,2,21,12,cell\n")
    data = open_dataset(tmp_path / name, split="val") if name == "data.yaml" else open_dataset(tmp_path / name)
    assert len(data[0][1]) == (name != "data.yaml")  # an image without a text is one without objects


@pytest.mark.parametrize(
    "content", [coco(), [{"image": "0.jpg", "annotator": 1, "label": [SHAPE]}]], ids=["COCO", "Label Studio"]
)
def test_a_json_is_parsed_once(content, tmp_path):
    picture(tmp_path / "0.jpg")
    write(tmp_path / "x.json", content)
    with mock.patch.object(json, "loads", wraps=json.loads) as loads:
        open_dataset(tmp_path / "x.json")
    assert loads.call_count == 1


def test_xml_is_read_in_the_encoding_that_it_declares(tmp_path):
    picture(tmp_path / "0.jpg")
    write(tmp_path / "0.xml", xml("Käfer", "ISO-8859-1"))
    data = open_dataset(tmp_path)
    assert isinstance(data, VOCDataset)
    assert data.label_names == ("Käfer",)


def test_the_shares_of_yolo_are_of_the_upright_image(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(tmp_path / "0.jpg", exif=turned)
    write(tmp_path / "classes.txt", "cell")
    write(tmp_path / "0.txt", "0 0.5 0.25 0.5 0.25")
    data = open_dataset(tmp_path)
    img, bbox, _ = data[0]
    assert img.shape == (3, 96, 64)
    np.testing.assert_allclose(bbox, [[12, 16, 36, 48]])


def test_a_bad_line_costs_the_line(tmp_path):
    for name in ("0.jpg", "1.jpg"):
        picture(tmp_path / name)
    write(tmp_path / "classes.txt", "cell\negg")
    write(
        tmp_path / "0.txt", "2 .5 .5 .1 .1\n0 .5 .5\n0 a b c d\n-1 .5 .5 .1 .1\n\n0 .5 .5 .5 .5 0.9\n0.5 .5 .5 .1 .1\n"
    )
    data = open_dataset(tmp_path)
    assert isinstance(data, YOLODataset)
    assert [len(data[i][1]) for i in (0, 1)] == [1, 0]
    assert data.left_out.counts == {"lines that are no object": 5}
    assert data.left_out.omissions[0] == (
        f"{tmp_path / '0.txt'}: line 1 must be a label of 0 to 1 and four shares of the image or an outline, got"
        " '2 .5 .5 .1 .1': left out"
    )
    assert open_dataset(tmp_path, label_names=["egg"]).left_out.counts["objects of other categories"] == 1


def test_a_line_of_a_table_without_a_box_is_an_image_without_one(tmp_path):
    for name in ("0.jpg", "1.jpg"):
        picture(tmp_path / name)
    lines = "filename,class,xmin,ymin,xmax,ymax,width,height\n1.jpg,,,,,,96,64\n0.jpg,cell,1,2,21,12,96,64\n"
    write(tmp_path / "x.csv", f"{lines}0.jpg,cell,a,2,21,12,96,64\n0.jpg,egg,5,5,9,9,90,60\n")
    data = open_dataset(tmp_path / "x.csv")
    assert isinstance(data, CSVDataset)
    assert data.label_names == ("cell", "egg")
    assert data.left_out.counts == {"lines that are no object": 1}
    assert data.read(0, ["bbox"])[0].shape == (0, 4)
    with pytest.raises(DataError, match=r"0\.jpg: must be 60x90 pixels high and wide as annotated, got \(64, 96\)"):
        data[1]


def test_a_file_of_a_test_has_no_annotations(tmp_path):
    picture(tmp_path / "test" / "0.jpg")
    write(tmp_path / "annotations" / "image_info_test.json", coco(annotations=None))
    data = open_dataset(tmp_path)
    assert (data.label_names, data.read(0, ["bbox"])[0].shape) == (("cell",), (0, 4))


def test_a_folder_too_high_is_said(tmp_path):
    picture(tmp_path / "VOC2007" / "JPEGImages" / "0.jpg")
    write(tmp_path / "VOC2007" / "Annotations" / "0.xml", xml())
    with pytest.raises(DataError, match=r"must be a folder with .*; .*VOC2007 is data$"):
        open_dataset(tmp_path)


def test_two_images_in_one_file_are_refused(tmp_path):
    picture(tmp_path / "0.jpg")
    content = coco("a/0.jpg")
    content["images"].append({"id": 2, "file_name": "b/0.jpg"})
    write(tmp_path / "a.json", content)
    with pytest.raises(DataError, match=r"two of its images have one file, .*\('a/0\.jpg' and 'b/0\.jpg'\)"):
        open_dataset(tmp_path)


WRONG = {
    "data.yaml": (f"train: nowhere\n{YAML}", "data.yaml: nowhere is neither in .* nor beside the file"),
    "d.yaml": ("train: [", "d.yaml: is not YAML"),
    "e.yaml": ("train: x", "e.yaml: must be a YOLO yaml with names and train, val or test"),
    "f.csv": ("a,b\n1,2\n", "f.csv: has no column filename"),
    "g.json": ("{}", "g.json: must be COCO's instances"),
    "i.json": (coco("n/o.jpg"), r"i.json: has images that are neither .* there: n/o.jpg; name their folder, and this"),
    "h.yaml": (f"train: x.txt\n{YAML}", "x.txt: there is no image nowhere.jpg"),
}


@pytest.mark.parametrize(("name", "content", "message"), [(name, *wrong) for name, wrong in WRONG.items()])
def test_what_is_wrong_is_one_sentence(name, content, message, tmp_path):
    write(tmp_path / name, content)
    write(tmp_path / "x.txt", "nowhere.jpg")
    with pytest.raises(DataError, match=message) as error:
        open_dataset(tmp_path / name)
    assert "\n" not in str(error.value)


def test_without_pyyaml_a_sentence_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    write(tmp_path / "data.yaml", YAML)
    with pytest.raises(DataError, match=r"data\.yaml: reading it needs PyYAML; pip install 'chainfpn\[yolo\]'"):
        open_dataset(tmp_path / "data.yaml")
