import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from chainfpn import models, save_weights
from chainfpn.cli.main import main
from chainfpn.data import weights_path
from chainfpn.datasets import ShapesDataset
from weights_convert import zoo

SHAPES = ("circle", "square", "triangle")


def save_detector(path, label_names=SHAPES, builder="fasterrcnn_resnet_fpn"):
    """Write the weights of a very small detector, which finds nothing in particular."""
    np.random.seed(0)
    model = getattr(models, builder)(
        18, n_fg_class=len(label_names), stages=(3,), fpn_channels=8, head_channels=8, min_size=32, max_size=64,
        label_names=label_names,
    )  # fmt: skip
    save_weights(path, model)


@pytest.fixture
def detector(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_detector("shapes.npz")
    return "shapes.npz"


def pedestrians(folder, n=3):
    """Write small images of nobody, in Penn-Fudan's form."""
    for name in ("PNGImages", "Annotation"):
        (folder / name).mkdir(parents=True)
    for i in range(n):
        Image.new("RGB", (40, 30), (i, 0, 0)).save(folder / "PNGImages" / f"{i}.png")
        box = '"PASpersonWalking" (Xmin, Ymin) - (Xmax, Ymax) : (1, 1) - (20, 30)'
        (folder / "Annotation" / f"{i}.txt").write_text(f"Objects with ground truth : 1\n{box}\n")


def test_the_figures_are_printed_and_written(detector, capsys):
    pytest.importorskip("pycocotools")
    command = ["evaluate", "--data", "shapes:5", "--weights", detector, "--limit", "4", "--json", "figures.json"]
    assert main(command) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    lines = output.splitlines()
    assert lines[0].split() == ["label", "AP50"]
    assert lines[-1] == "4 images"
    figures = json.loads(pathlib.Path("figures.json").read_text())
    assert (figures["images"], figures["broken"]) == (4, 0)
    assert list(figures["voc"]["ap"]) == list(SHAPES)
    coco = {line.split()[0]: line.split()[-1] for line in lines[lines.index("") + 2 : -1]}
    assert len(coco) == 12
    assert figures["coco"].keys() == {"box"}
    for name, shown in coco.items():
        value = figures["coco"]["box"][name]
        assert shown == ("-" if value is None else f"{value:.4f}")


def test_the_worst_images_are_drawn_with_what_was_missed(detector, capsys):
    command = ["evaluate", "--data", "shapes:5", "--weights", detector, "--out", "a/b"]
    assert main(command) == 0
    n_objects = sum(len(bbox) for _, bbox, _ in ShapesDataset(5))
    last = f"{n_objects} objects missed, 0 detections above 0.5 wrong; the worst images: a/b/mistakes.jpg"
    assert capsys.readouterr().out.splitlines()[-1] == last
    assert main([*command[:-1], "a/b/mistakes.jpg", "--results", "results.json"]) == 1
    assert "a/b/mistakes.jpg" in capsys.readouterr().err
    with Image.open("a/b/mistakes.jpg") as picture:
        assert picture.size == (4 * 320, 2 * 340)
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 5


@pytest.mark.parametrize("builder", ["fasterrcnn_resnet_fpn", "maskrcnn_resnet_fpn"])
def test_without_pycocotools_there_is_the_rest(builder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_detector("shapes.npz", builder=builder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pycocotools"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    assert main(["evaluate", "--data", "shapes:2", "--weights", "shapes.npz"]) == 0
    output, errors = capsys.readouterr()
    assert errors == "no COCO figures: pycocotools is missing; pip install 'chainfpn[coco]'\n"
    assert output.splitlines()[-2].startswith("mean")


def test_masks_are_evaluated_where_there_are(tmp_path, capsys, monkeypatch):
    pytest.importorskip("pycocotools")
    monkeypatch.chdir(tmp_path)
    save_detector("masks.npz", builder="maskrcnn_resnet_fpn")
    assert main(["evaluate", "--data", "shapes:3", "--weights", "masks.npz"]) == 0
    assert "     box    mask\n" in capsys.readouterr().out


def test_what_is_broken_is_reported_counted_and_left_out(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_detector("person.npz", ("person",))
    pedestrians(tmp_path / "data")
    (tmp_path / "data" / "PNGImages" / "1.png").write_text("no image")
    (tmp_path / "data" / "Annotation" / "2.txt").unlink()
    assert main(["evaluate", "--data", "data", "--weights", "person.npz", "--json", "figures.json"]) == 1
    output, errors = capsys.readouterr()
    assert errors.splitlines() == [
        "data/PNGImages/1.png: is not an image: left out",
        "data/Annotation/2.txt: cannot be read (No such file or directory): left out",
    ]
    reasons = {"images that cannot be read": 1, "images with an annotation that cannot be read": 1}
    assert output.splitlines()[-2:] == [
        "left out: " + ", ".join(f"{n} {reason}" for reason, n in reasons.items()),
        "1 images, 2 left out",
    ]
    figures = json.loads(pathlib.Path("figures.json").read_text())
    assert (figures["broken"], figures["left_out"]) == (2, reasons)


def test_a_bad_object_is_reported_and_its_image_counts(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_detector("person.npz", ("person",))
    Image.new("RGB", (40, 30)).save("0.png")
    boxes = ["1 2 3 4", [1, 1, 20, 20]]
    content = {
        "images": [{"id": 1, "file_name": "0.png"}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": i, "image_id": 1, "category_id": 1, "bbox": box} for i, box in enumerate(boxes)],
    }
    pathlib.Path("x.json").write_text(json.dumps(content))
    assert main(["evaluate", "--data", ".", "--annotations", "x.json", "--weights", "person.npz"]) == 0
    output, errors = capsys.readouterr()
    assert errors == "x.json: object 0 of 0.png must have a bbox of 4 numbers, got '1 2 3 4': left out\n"
    assert output.splitlines()[-1] == "1 images"


def test_labels_that_the_detector_does_not_know_are_said(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_detector("square.npz", ("dog", "square"))
    assert main(["evaluate", "--data", "shapes:2", "--weights", "square.npz"]) == 0
    output, errors = capsys.readouterr()
    assert errors == "not counted, for the detector does not know them: circle, triangle\n"
    assert "circle" not in output


WRONG = {
    "no weights": (["--weights", "nowhere.npz"], "nowhere.npz: there is no such file"),
    "no data": (["--data", "nowhere"], "nowhere: there is no such folder"),
    "other data": (["--data", "."], ".: must be a folder with PNGImages and Annotation (Penn-Fudan), JPEGImages and"),
    "names": (["--data", "data", "--list", "list.txt"], "list.txt: the data has no image 'x.png'"),
    "no list": (["--data", "data", "--list", "no.txt"], "no.txt: cannot be read (No such file or directory)"),
    "annotations": (["--data", "data", "--annotations", "list.txt"], "list.txt: is not JSON"),
    "labels": (["--data", "data"], "detector and data must have a label in common, got circle, square, triangle and "),
    "json nowhere": (["--json", "no/x.json"], "no/x.json: cannot be written (No such file or directory)"),
    "results nowhere": (["--results", "no/x.json"], "no/x.json: cannot be written (No such file or directory)"),
    "all broken": (["--data", "data", "--weights", "person.npz", "--list", "broken.txt"], "none of the images could"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_done_is_one_sentence_and_status_1(options, message, detector, tmp_path, capsys):
    pedestrians(tmp_path / "data")
    save_detector("person.npz", ("person",))
    (tmp_path / "data" / "PNGImages" / "1.png").write_text("no image")
    pathlib.Path("list.txt").write_text("x.png\n")
    pathlib.Path("broken.txt").write_text("1.png\n")
    command = ["evaluate", "--data", "shapes:1", "--weights", detector, *options]
    assert main(command) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    last = errors.splitlines()[-1]
    assert last.startswith(f"chainfpn evaluate: {message}")
    assert not list(tmp_path.glob("*.json*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "the following arguments are required: --data, --weights"),
        (["--data", "x", "--weights", "y", "--limit", "0"], "--limit: must be >= 1, got 0"),
        (["--data", "x", "--weights", "y", "--json", "y"], "--json must not name a file that is read, got y"),
        (
            ["--data", "x", "--weights", "y", "--results", "y"],
            "--results must not name a file that is read, or that of --json, got y",
        ),
        (
            ["--data", "x", "--weights", "y", "--json", "z", "--results", "./z"],
            "--results must not name a file that is read, or that of --json, got ./z",
        ),
    ],
)
def test_wrong_usage_ends_with_status_2(options, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", *options])
    assert capsys.readouterr().err == f"chainfpn evaluate: {message}; chainfpn evaluate --help lists the options\n"


def test_published_weights_are_named_as_everywhere(detector, capsys, monkeypatch):
    monkeypatch.setattr(zoo, "is_cached", lambda name: True)
    monkeypatch.setattr(zoo, "fetch", lambda name, **options: detector)
    assert main(["evaluate", "--data", "shapes:1", "--weights", "fasterrcnn_resnet50_fpn"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 images"


def test_quiet_prints_errors_only_and_json_in_place_of_the_figures(detector, capsys):
    command = ["evaluate", "--data", "shapes:2", "--weights", detector]
    assert main([*command, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2


@pytest.mark.slow
def test_the_command_runs_by_itself(detector):
    command = [sys.executable, "-W", "error", "-m", "chainfpn", "evaluate", "--data", "shapes:1", "--weights", detector]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.thorough
def test_the_bundled_detector_on_pedestrians_it_has_not_seen(shared_data, tmp_path, capsys, monkeypatch):
    pytest.importorskip("pycocotools")
    monkeypatch.chdir(tmp_path)
    shutil.copy(weights_path(), "person.npz")
    names = str(shared_data / "weights" / "pennfudan_test.json")
    data = str(shared_data / "pennfudan")
    assert main(["evaluate", "--data", data, "--list", names, "--weights", "person.npz"]) == 0
    output = capsys.readouterr().out
    bar = float(re.match(r"AP50 (\S+)", (shared_data / "weights" / "result.txt").read_text())[1])
    assert float(re.search(r"^mean +(\S+)$", output, re.MULTILINE)[1]) > bar - 0.01
    assert output.splitlines()[-1] == "50 images"


def test_detections_are_written_as_cocos_results(tmp_path, monkeypatch, capsys):
    """Ids are those of the file; one without annotations has no figures."""
    coco = pytest.importorskip("pycocotools.coco")
    monkeypatch.chdir(tmp_path)
    save_detector("cups.npz", ("person", "cup"), builder="maskrcnn_resnet_fpn")
    Image.new("RGB", (64, 48), (200, 100, 0)).save("7.png")
    content = {
        "images": [{"id": 70, "file_name": "7.png", "width": 64, "height": 48}],
        "categories": [{"id": 5, "name": "cup"}, {"id": 3, "name": "person"}],
    }
    pathlib.Path("test.json").write_text(json.dumps(content))
    command = ["evaluate", "--data", "test.json", "--weights", "cups.npz", "--results", "results.json"]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 images"
    results = json.loads(pathlib.Path("results.json").read_text())
    detector = models.load("cups.npz")
    detector.use_preset("evaluate")
    (found,) = detector.detect([np.asarray(Image.open("7.png"), np.float32).transpose(2, 0, 1)])
    assert len(results) == len(found.bbox) > 0
    order = {5: 1, 3: 0}
    for result, (y0, x0, y1, x1), label in zip(results, found.bbox.tolist(), found.label, strict=True):
        assert (result["image_id"], order[result["category_id"]]) == (70, label)
        np.testing.assert_allclose(result["bbox"], [x0, y0, x1 - x0, y1 - y0], rtol=1e-5)
    pathlib.Path("annotated.json").write_text(json.dumps({**content, "annotations": []}))
    loaded = coco.COCO("annotated.json").loadRes("results.json")
    assert len(loaded.anns) == len(results)
    assert loaded.annToMask(loaded.anns[1]).shape == (48, 64)
    capsys.readouterr()
    assert main([*command[:-1], "no/where.json"]) == 1
    assert "no/where.json: cannot be written (No such file or directory)" in capsys.readouterr().err
