"""The programs of examples/, on tiny settings."""

import json
import pathlib
import pickle
import re
import runpy
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import weights_convert
from chainfpn import data, models, save_weights
from chainfpn.datasets import ShapesDataset
from reference.processes import mpiexec

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a program in an empty folder and returns what it prints."""

    def run(name, *arguments):
        np.random.seed(0)
        runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]([str(argument) for argument in arguments])
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    return run


@pytest.fixture
def two_classes(tmp_path):
    """Return a folder of red and of blue images."""
    rng = np.random.default_rng(0)
    for name, channel in (("blue", 2), ("red", 0)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 20, (40, 48, 3), np.uint8)
            pixels[:, :, channel] += 180
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    return tmp_path / "images"


@pytest.fixture
def voc(tmp_path):
    """Return a folder in VOC's form with three images of shapes."""
    shapes, folder = ShapesDataset(3, 64), tmp_path / "voc"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for i, (img, bbox, label) in enumerate(shapes):
        Image.fromarray(img.astype(np.uint8).transpose(1, 2, 0)).save(folder / "JPEGImages" / f"{i}.jpg")
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = f"{i}.jpg"
        for box, class_index in zip(bbox, label, strict=True):
            found = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(found, "name").text = shapes.label_names[class_index]
            corners = ElementTree.SubElement(found, "bndbox")
            for corner, value in zip(("ymin", "xmin", "ymax", "xmax"), box, strict=True):
                ElementTree.SubElement(corners, corner).text = str(int(value) + 1)
        ElementTree.ElementTree(root).write(folder / "Annotations" / f"{i}.xml")
    (folder / "ImageSets" / "Main" / "train.txt").write_text("0\n1\n")
    (folder / "ImageSets" / "Main" / "val.txt").write_text("2\n")
    return folder


def test_every_program_is_described_and_tested():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| \[(\w+)\.py\]", page, re.MULTILINE)) == PROGRAMS
    tests = pathlib.Path(__file__).read_text(encoding="utf-8")
    assert sorted(re.findall(r'(?:run\(|EXAMPLES / )"(?!README)(\w+)(?:\.py)?"', tests)) == PROGRAMS


@pytest.mark.slow
def test_chainercv_trains_on_our_trunk(run):
    said = run("chainercv_trunk", "--depth", 18, "--size", 64, "--steps", 1, "--batch", 1, "--out", "out.npz")
    assert re.match(r"step 0  loss \d+\.\d+\n", said)
    with np.load("out.npz") as file:
        assert file["extractor/base/resnet/layer4/1/conv2/W"].shape == (512, 512, 3, 3)
        assert file["bbox_head/conf/W"].shape == (4, 1024)


@pytest.mark.slow
def test_a_voc_folder_is_learned_from_the_bundled_weights(run, voc):
    said = run("finetune_voc", voc, "--split", "train", "--validation", "val", "--size", 64, "--epochs", 1)
    assert said.endswith("chainfpn detect IMAGE --weights finetuned/finetuned.npz\n")
    (log,) = json.loads(pathlib.Path("finetuned/log").read_text())
    assert log["main/loss"] > 0
    assert 0 <= log["validation/main/map"] <= 1
    model, bundled = models.load("finetuned/finetuned.npz"), models.load(data.weights_path())
    assert set(model.label_names) <= {"circle", "square", "triangle"}
    assert model.preprocess.max_size == 128
    kept, learned = (m.backbone.body.conv1.W.array for m in (bundled, model))
    np.testing.assert_array_equal(kept, learned)  # frozen
    kept, learned = (m.roi_heads.box_head.fc7.W.array for m in (bundled, model))
    assert 0 < np.abs(kept - learned).max() < 0.1


@pytest.mark.slow
def test_a_resnet_learns_in_a_loop(run, two_classes):
    said = run("resnet_in_a_loop", two_classes, "--size", 32, "--batch", 6, "--epochs", 2)
    assert re.match(r"epoch 1  loss \d+\.\d+  accuracy \d\.\d+\nepoch 2 ", said)
    model = models.load("classifier.npz")
    assert (model.n_class, tuple(model.label_names)) == (2, ("blue", "red"))


@pytest.mark.slow
def test_a_probe_tells_red_from_blue_by_moco(run, two_classes):
    save_weights("trunk.npz", models.resnet18(n_class=0))
    weights_convert.convert("trunk.npz", "trunk.pth")
    arrays = weights_convert.read_checkpoint("trunk.pth")
    moco = {f"module.encoder_q.{name}": array for name, array in arrays.items()}
    with open("moco.pkl", "wb") as file:
        pickle.dump({"state_dict": moco, "epoch": 800}, file, 2)
    said = run("probe", "moco.pkl", two_classes, "--size", 32, "--steps", 30)
    assert said == "resnet18, 512 features: 1.000 of 3 images, 2 classes\n"


@pytest.mark.slow
def test_two_processes_train_together(mpi, tmp_path):
    small = ["--depth", 18, "--size", 64, "--epochs", 1, "--out", tmp_path / "out"]
    mpiexec(2, EXAMPLES / "multi_node.py", "--data", "shapes:4", *small)
    (log,) = json.loads((tmp_path / "out" / "log").read_text())
    assert log["iteration"] == 2  # of two images each
    assert log["main/loss"] > 0
    assert tuple(models.load(tmp_path / "out" / "detector.npz").label_names) == ("circle", "square", "triangle")
