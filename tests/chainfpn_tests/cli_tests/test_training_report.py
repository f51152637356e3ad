"""The page about a training."""

import json

import pytest

from chainfpn.cli.training_report import write_report

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
