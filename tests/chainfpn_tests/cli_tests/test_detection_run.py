import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from chainfpn.cli.detection_run import detect_all
from chainfpn.cli.errors import CommandError
from chainfpn.images import read_image
from chainfpn.links import Detections


class Detector:
    """Finds what is bright, if its score is high enough, in one image at a time."""

    n_fg_class = 2
    label_names = ("lamp", "moon")
    score_thresh = None

    def detect(self, imgs):
        (img,) = imgs
        if img.shape[1:] == (7, 7):
            raise MemoryError
        y, x = np.nonzero(img.mean(axis=0) > 200)
        if len(y) == 0:
            return [Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.float32))]
        bbox = np.array([[y.min(), x.min(), y.max() + 1, x.max() + 1]] * 2, dtype=np.float32)
        score = np.array([0.9, 0.4], dtype=np.float32)
        keep = score > self.score_thresh
        return [Detections(bbox[keep], np.array([1, 0], dtype=np.int32)[keep], score[keep])]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with images, which is the current one."""
    monkeypatch.chdir(tmp_path)
    night = Image.new("RGB", (200, 100))
    night.save("dark.png")
    night.paste("white", (50, 40, 90, 70))
    night.save("moon.jpg", quality=95)
    pathlib.Path("other").mkdir()
    night.save("other/moon.jpg")
    pathlib.Path("broken.jpg").write_bytes(pathlib.Path("moon.jpg").read_bytes()[:400])
    return tmp_path


def run(*images, score=0.5, out="out", json_path=None, detector=None):
    images = [pathlib.Path(image) for image in images]
    json_path = None if json_path is None else pathlib.Path(json_path)
    return detect_all(detector or Detector(), images, score=score, out=pathlib.Path(out), json_path=json_path)


def test_table_picture_and_json_say_the_same(folder, capsys):
    assert run("moon.jpg", "dark.png", json_path="found.json") == 0
    output, errors = capsys.readouterr()
    assert output.splitlines() == [
        "image     object   score   y_min   x_min   y_max   x_max",
        "moon.jpg  moon      0.90    40.0    50.0    70.0    90.0",
        "dark.png  -",
        "2 pictures written to out",
    ]
    assert errors == ""
    moon = {"bbox": [40.0, 50.0, 70.0, 90.0], "label": 1, "name": "moon", "score": float(np.float32(0.9))}
    assert json.loads(pathlib.Path("found.json").read_text()) == [
        {"file": "moon.jpg", "width": 200, "height": 100, "detections": [moon]},
        {"file": "dark.png", "width": 200, "height": 100, "detections": []},
    ]
    picture = np.asarray(read_image("out/moon_detected.jpg"))
    assert picture.shape == (100, 200, 3)
    assert np.ptp(picture[60, 50]) > 100  # the box has a colour
    assert read_image("out/dark_detected.png").size == (200, 100)


def test_the_threshold_is_the_one_asked_for(folder, capsys):
    assert run("moon.jpg", score=0.1) == 0
    assert [line.split()[1:3] for line in capsys.readouterr().out.splitlines()[1:3]] == [
        ["moon", "0.90"],
        ["lamp", "0.40"],
    ]


def test_a_bad_image_is_named_and_the_rest_goes_on(folder, capsys):
    assert run("broken.jpg", "nowhere.jpg", "moon.jpg", json_path="found.json") == 1
    output, errors = capsys.readouterr()
    assert [line.split(": ")[0] for line in errors.splitlines()] == ["broken.jpg", "nowhere.jpg"]
    assert "picture written to out/moon_detected.jpg" in output
    assert [record["file"] for record in json.loads(pathlib.Path("found.json").read_text())] == ["moon.jpg"]
    assert [path.name for path in pathlib.Path("out").iterdir()] == ["moon_detected.jpg"]


def test_an_image_too_large_for_the_device_is_named(folder, capsys):
    Image.new("RGB", (7, 7)).save("large.png")
    assert run("large.png", "dark.png") == 1
    assert capsys.readouterr().err == "large.png: is too large for the memory of the device\n"


def test_images_stay_as_they_are_even_in_their_own_folder(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert run("moon.jpg", "other/moon.jpg", "dark.png", out=".") == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    new = {path.name for path in folder.iterdir()} - {path.name for path in before}
    assert new == {"moon_detected.jpg", "moon_detected_2.jpg", "dark_detected.png", "other"}


def test_a_second_run_replaces_its_pictures(folder):
    for _ in range(2):
        run("moon.jpg")
    assert [path.name for path in pathlib.Path("out").iterdir()] == ["moon_detected.jpg"]


def test_labels_without_names_are_numbers(folder, capsys):
    detector = Detector()
    detector.label_names = None
    run("moon.jpg", detector=detector)
    assert capsys.readouterr().out.splitlines()[1].split()[1] == "1"


def test_a_crash_leaves_no_json(folder):
    class Crashing(Detector):
        def detect(self, imgs):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run("moon.jpg", json_path="found.json", detector=Crashing())
    assert not list(folder.glob("*found.json*"))


def test_json_that_cannot_be_written_is_named_before_any_work(folder):
    with pytest.raises(CommandError, match=r"^nowhere/found\.json: cannot be written \(No such file or directory\)$"):
        run("moon.jpg", json_path="nowhere/found.json")
    assert not pathlib.Path("out").exists()


def test_a_folder_that_cannot_be_made_is_named(folder):
    with pytest.raises(CommandError, match=r"^dark\.png: cannot be written \(File exists\)$"):
        run("moon.jpg", out="dark.png")


def test_a_bar_appears_on_a_terminal_only(folder, capsys, monkeypatch):
    run("moon.jpg", "dark.png")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    run("moon.jpg", "dark.png")
    output, errors = capsys.readouterr()
    assert "0/2" in errors
    assert "0/2" not in output
    run("moon.jpg")
    assert capsys.readouterr().err == ""
