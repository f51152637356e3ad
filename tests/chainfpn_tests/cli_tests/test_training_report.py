"""The page about a training."""

import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from chainfpn.cli.training_report import write_report
from chainfpn.training.plots import write_curves

KEY = "validation/main/map"


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([float("nan"), 0.25, 0.5], "Best average precision at an IoU of 0.5: 0.5000, after epoch 3."),
        ([0.5, float("nan"), 0.25], "Best average precision at an IoU of 0.5: 0.5000, after epoch 1."),
        ([float("nan")], None),
        ([], None),
    ],
)
def test_a_figure_that_is_no_number_is_not_the_best(figures, best, tmp_path):
    about = {"settings": {}, "label_names": ["cat"], "images": {"training": 2, "validation": 1}, "versions": {}}
    (tmp_path / "train.json").write_text(json.dumps(about))
    log = [{"epoch": i + 1, "iteration": 2 * i, KEY: figure} for i, figure in enumerate(figures)]
    (tmp_path / "log").write_text(json.dumps(log))
    page = write_report(tmp_path).read_text()
    assert "2 images to train with, 1 to validate with; labels: cat." in page
    assert best in page if best else "Best average precision" not in page
    assert "nan" not in page.lower()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a training of thirty classes, wider than any screen if nothing is done about it."""
    out = tmp_path_factory.mktemp("report")
    names = [f"class {i}" for i in range(30)]
    count = {"objects": 3, "images": 2}
    side = {"images": 4, "left_out": {"crowds": 2}, "classes": dict.fromkeys([*names, "(no object)"], count)}
    about = {
        "settings": {"data": ["a" * 300], "lr": 0.25, "batch": 2, "names": None},
        **{"label_names": names, "images": {"training": 4, "validation": 4}, "versions": {"numpy": "2"}},
        "data": {"training": side, "validation": side},
    }
    (out / "train.json").write_text(json.dumps(about))
    figures = {f"validation/main/ap/{name}": 0.5 for name in names}
    (out / "log").write_text(json.dumps([{"epoch": 1, "iteration": 2, "main/loss": 1.5, KEY: 0.5, **figures}]))
    for name in ("losses.png", "ap.png", "pr.png"):
        write_curves(out / name, {name: ([1, 2, 3], [0.2, 0.4, 0.8]) for name in names}, xlabel="epoch")
    (out / "samples").mkdir()
    Image.new("RGB", (640, 480), (10, 200, 30)).save(out / "samples" / "1.jpg")
    return write_report(out)


def test_options_that_were_chosen_come_before_defaults(page):
    text = page.read_text()
    before, _, after = text.partition("<summary>at their defaults</summary>")
    assert "<th>lr</th><td>0.25</td>" in before
    assert "<th>batch</th><td>2</td>" in after
    assert "<th>names</th><td>-</td>" in after


@pytest.fixture
def browser():
    """A program that draws a page without a screen."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium here")
    return path


@pytest.mark.slow
def test_a_browser_shows_all_of_it(page, browser, tmp_path):
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,3200"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={tmp_path / 'page.png'}"]
    done = subprocess.run([browser, *options, pathlib.Path(page).as_uri()], capture_output=True, timeout=300)
    with Image.open(tmp_path / "page.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (3200, 1000, 3), done.stderr
    assert (pixels[:, -8:] == 255).all()  # nothing is wider than the page
    for colour, n in (((10, 200, 30), 40_000), ((31, 119, 180), 1000)):  # the sample, and Matplotlib's first curve
        assert (abs(pixels - colour).max(axis=2) < 20).sum() > n
    rows = (pixels < 255).any(axis=(1, 2)).reshape(32, 100).any(axis=1)
    assert rows[:28].all()  # text and pictures down to the end
