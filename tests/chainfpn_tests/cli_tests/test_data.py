"""``chainfpn data``: what it says of a data set, the sheet, and the data as one file."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from chainfpn.cli.main import main
from chainfpn.datasets import open_dataset

EXPECTED = """\
{folder}: YOLO, 4 images
                       min   median      max
image height            40       64       64
image width             80       96       96
box height              16       32       32
box width               24       24       48
objects per image        0        1        2
boxes: 2 small, 1 medium, 0 large (COCO's areas)
class        objects  images
cell               2       2
egg                1       1
(no object)        0       1
left out: 1 lines that are no object, 1 images that cannot be read
"""


@pytest.fixture
def yolo(tmp_path):
    """Three images of 1, 2 and 0 objects, and one that is broken."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name, size in (("0", (96, 64)), ("1", (96, 64)), ("2", (80, 40))):
        Image.new("RGB", size, (90, 120, 60)).save(folder / f"{name}.png")
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "classes.txt").write_text("cell\negg\n")
    (folder / "0.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (folder / "1.txt").write_text("0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.25 0.25\n7 0.5 0.5 0.5 0.5\n")
    return folder


def test_what_a_folder_is(yolo, tmp_path, capsys):
    out = tmp_path / "shown"
    assert main(["data", str(yolo), "--to", "coco", "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert captured.out == EXPECTED.format(folder=yolo) + f"written to {out}: sheet.jpg and instances.json\n"
    errors = captured.err.splitlines()
    assert [line.split(": ")[0] for line in errors] == [str(yolo / "1.txt"), str(yolo / "3.png")]
    with Image.open(out / "sheet.jpg") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (340, 3 * 320, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5

    (yolo / "3.png").unlink()
    again, first = open_dataset(tmp_path, annotations=out / "instances.json"), open_dataset(yolo)
    assert again.label_names == ("cell", "egg")
    assert len(again) == 3
    for i in range(3):
        for found, expected in zip(again[i], first[i], strict=True):
            np.testing.assert_allclose(found, expected)
    (box, *_) = json.loads((out / "instances.json").read_text())["annotations"]
    assert box == {"id": 1, "image_id": 1, "category_id": 1, "bbox": [36, 16, 24, 32], "area": 768, "iscrowd": 0}


def test_a_good_set_has_status_0(yolo, capsys):
    (yolo / "3.png").unlink()
    (yolo / "1.txt").unlink()
    assert main(["data", str(yolo), "--names", "cell"]) == 0
    assert "left out" not in capsys.readouterr().out


ERRORS = {
    "nowhere": (["nowhere"], 1, "chainfpn data: nowhere: there is no such folder\n"),
    "no class": (["shapes:2", "--split", "x"], 1, "chainfpn data: shapes:2: synthetic data cannot be chosen from by"),
    "no file": (["shapes:2", "--to", "coco"], 2, "chainfpn data: --to needs --out; "),
    "no folder": (["shapes:2", "--out", "/proc/no"], 1, "/proc/no: cannot be written (No such file or directory)"),
}


@pytest.mark.parametrize(("arguments", "status", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_are_one_sentence(arguments, status, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if status == 2:
        with pytest.raises(SystemExit, match="2"):
            main(["data", *arguments])
    else:
        assert main(["data", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_masks_are_written_too(shared_data, tmp_path, capsys):
    """Those of an image of the pedestrians, and of none where an object has no outline."""
    pytest.importorskip("pycocotools")
    for folder, name in (("PNGImages", "{}.png"), ("Annotation", "{}.txt"), ("PedMasks", "{}_mask.png")):
        (tmp_path / "set" / folder).mkdir(parents=True)
        file = name.format("FudanPed00001")
        shutil.copy(shared_data / "pennfudan" / folder / file, tmp_path / "set" / folder / file)
    out = tmp_path / "set"
    assert main(["data", str(out), "--to", "coco", "--out", str(out), "--quiet"]) == 0
    first, again = open_dataset(out), open_dataset(out, annotations=out / "instances.json")
    keys = ["bbox", "mask", "area"]
    bbox, mask, area = again.read(0, keys)
    for found, expected in zip((bbox, mask), first.read(0, keys[:2]), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(area, mask.sum(axis=(1, 2)))

    content = json.loads((out / "instances.json").read_text())
    del content["annotations"][0]["segmentation"]
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert (
        main(["data", str(out), "--annotations", str(tmp_path / "a.json"), "--to", "coco", "--out", str(tmp_path)]) == 0
    )
    content = json.loads((tmp_path / "instances.json").read_text())
    assert [sorted(entry) for entry in content["annotations"]] == 2 * [
        ["area", "bbox", "category_id", "id", "image_id", "iscrowd"]
    ]
    assert capsys.readouterr().err == ""
