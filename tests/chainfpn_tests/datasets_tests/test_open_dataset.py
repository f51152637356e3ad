import json
import os
import shutil
import threading

import pytest

from chainfpn.datasets import COCODataset, DataError, PennFudanDataset, ShapesDataset, VOCDataset, open_dataset
from chainfpn.datasets._files import read_names


@pytest.fixture
def coco(tmp_path):
    """A tree with two splits of no annotations, the images of one of them one folder further down."""
    for folder in ("coco/annotations", "coco/train", "coco/images/val"):
        (tmp_path / folder).mkdir(parents=True)
    categories = [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}]
    for split, n in (("train", 2), ("val", 1)):
        images = [{"id": i, "file_name": f"{i}.jpg", "height": 9, "width": 9} for i in range(n)]
        content = {"images": images, "annotations": [], "categories": categories}
        (tmp_path / "coco" / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return tmp_path / "coco"


def test_penn_fudan(penn_fudan):
    dataset = open_dataset(penn_fudan, without=["a"], label_names=["person"])
    assert isinstance(dataset, PennFudanDataset)
    assert len(dataset) == 2


def test_voc(voc):
    dataset = open_dataset(str(voc), label_names=["dog", "person"])
    assert isinstance(dataset, VOCDataset)
    assert [len(dataset), dataset.label_names, len(dataset[0][1])] == [2, ("dog", "person"), 1]
    assert len(open_dataset(voc, use_ignored=True)[0][1]) == 2
    assert len(open_dataset(voc, split="val")) == 1


def test_coco(coco):
    train, val = open_dataset(coco, split="train"), open_dataset(coco, split="val", label_names=["dog"])
    assert isinstance(train, COCODataset)
    assert (len(train), len(val), val.label_names) == (2, 1, ("dog",))
    assert val.file_name(0) == str(coco / "images" / "val" / "0.jpg")
    assert len(open_dataset(coco / "train", annotations=coco / "annotations" / "instances_train.json")) == 2
    (coco / "annotations" / "instances_train.json").unlink()
    assert len(open_dataset(coco, use_ignored=True)) == 1


@pytest.mark.parametrize(("word", "n", "seed"), [("shapes", 200, 0), ("shapes:7", 7, 0), ("shapes:3:5", 3, 5)])
def test_shapes(word, n, seed):
    dataset = open_dataset(word)
    assert isinstance(dataset, ShapesDataset)
    assert (len(dataset), dataset.seed) == (n, seed)


def test_what_it_is_not(coco, penn_fudan, tmp_path):
    wrong = {
        "nowhere": ({}, "nowhere: there is no such folder"),
        "shapes:x": ({}, "shapes:x: there is no such folder"),
        tmp_path / "coco" / "train": ({}, "must be a folder with PNGImages and Annotation .Penn-Fudan.*or a folder of"),
        "shapes:0": ({}, r"shapes:0: must be of 1 to 1000000 images, by a seed below 2\*\*32"),
        f"shapes:{10**19}": ({}, "must be of 1 to 1000000 images"),
        f"shapes:2:{2**32}": ({}, "must be of 1 to 1000000 images"),
        "shapes": ({"names": ["a"]}, "shapes: synthetic data cannot be chosen from by names"),
        penn_fudan: ({"split": "val"}, "Penn-Fudan data cannot be chosen from by split"),
        coco: ({}, "coco: split must be one of train, val$"),
    }
    shutil.rmtree(coco / "images")
    for data, (options, message) in wrong.items():
        with pytest.raises(DataError, match=message):
            open_dataset(data, **options)
    with pytest.raises(DataError, match="coco: has neither a folder val nor images/val"):
        open_dataset(coco, split="val")
    with pytest.raises(DataError, match="Penn-Fudan data cannot be chosen from by label_names"):
        open_dataset(penn_fudan, label_names=["dog"])
    with pytest.raises(DataError, match="COCO annotations cannot be chosen from by split"):
        open_dataset(coco, annotations="x.json", split="val")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_list_of_names_may_come_through_a_pipe(coco):
    """It can be read once."""
    pipe = coco / "names"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("1.jpg\n\n",), daemon=True)
    writer.start()
    assert read_names(pipe) == ["1.jpg"]
    writer.join()


LONG = f"{'a' * 300}.jpg"
BOX = '<box label="x" xtl="0" ytl="0" xbr="4" ybr="4"/>'
SHAPE = {"x": 1, "y": 2, "width": 20, "height": 10, "rectanglelabels": ["x"], "original_width": 9, "original_height": 9}
OF_LONG_NAMES = {
    "coco.json": json.dumps(
        {"images": [{"id": 1, "file_name": LONG}], "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    ),
    "tasks.json": json.dumps([{"image": LONG, "annotator": 1, "label": [SHAPE]}]),
    "boxes.csv": f"filename,xmin,ymin,xmax,ymax,class\n{LONG},0,0,4,4,x\n",
    "annotations.xml": f'<annotations><image name="{LONG}">{BOX}</image></annotations>',
}


@pytest.mark.parametrize("name", OF_LONG_NAMES)
def test_a_name_that_is_too_long_for_a_file_is_of_no_file(name, tmp_path):
    (tmp_path / name).write_text(OF_LONG_NAMES[name])
    of_coco = {"data": tmp_path, "annotations": tmp_path / name}
    dataset = open_dataset(**(of_coco if name == "coco.json" else {"data": tmp_path / name}))
    with pytest.raises(DataError, match="is damaged"):
        dataset.get_image(0)
    with pytest.raises(DataError, match="there is no such folder"):
        open_dataset(tmp_path / LONG)


@pytest.mark.parametrize("line", [LONG, "/"])
def test_a_list_of_images_names_files(line, tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / "list.txt").write_text(line)
    (tmp_path / "data.yaml").write_text("names: [x]\ntrain: list.txt\n")
    with pytest.raises(DataError, match="there is no image"):
        open_dataset(tmp_path / "data.yaml")
