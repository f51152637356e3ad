"""Pictures of a training's detections, and one page with all of it."""

import base64
import html
import json
import math
import pathlib
from collections.abc import Iterable
from typing import Any

from chainer.training import Trainer, extension
from PIL import Image

from chainfpn._typing import PathLike, Report
from chainfpn.cli.drawing import draw
from chainfpn.cli.output import complete_file
from chainfpn.cli.overlays import min_point_score
from chainfpn.cli.results import save_picture
from chainfpn.cli.training_classes import class_rows, lines_below
from chainfpn.cli.training_folder import CURVES
from chainfpn.cli.training_options import DEFAULTS
from chainfpn.datasets import DataError, DetectionDataset
from chainfpn.links import Detector
from chainfpn.training.evaluator import has_keypoint_ap

#: The figures that decide which weights are the best, and what they are called; the first that there is.
KEYS = {
    "validation/main/keypoint_ap": "average precision of keypoints",
    "validation/main/map": "average precision at an IoU of 0.5",
}
KEYPOINT_KEY, KEY = KEYS
MASK_KEY = "validation/main/mask_ap"

#: Score above which a detection is drawn.
_SCORE = 0.5
_QUALITY = 85
#: Of cells whose text is flush right.
_NUMBER = ' class="n"'
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { border-bottom: 1px solid #ddd; padding: .2rem .8rem; }
th { text-align: left; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td { overflow-wrap: anywhere; } td.n { overflow-wrap: normal; } .wide { overflow-x: auto; }
summary { cursor: pointer; }
img { max-width: 100%; } .samples { display: flex; flex-wrap: wrap; gap: .5rem; } .samples img { max-height: 18rem; }
"""


def best_key(model: Detector, validation: DetectionDataset | None) -> str:
    """Return the name of the figure that decides which weights are the best: of keypoints, if they are evaluated."""
    return KEYPOINT_KEY if validation is not None and has_keypoint_ap(model, validation) else KEY


class Samples(extension.Extension):
    """Draw the detections in the first images of a data set: ``samples/1.jpg`` and so on.

    Args:
        model (chainfpn.links.Detector): The detector.
        data (DetectionDataset): Its first images are drawn.
        out (str or os.PathLike): The folder.
        n (int): How many.
        report (callable): Takes a sentence about each image that cannot be read.
    """

    trigger = 1, "epoch"

    def __init__(self, model: Detector, data: DetectionDataset, out: PathLike, *, n: int, report: Report) -> None:
        self.model, self.data, self.out, self.n, self.report = model, data, out, n, report

    def __call__(self, trainer: Trainer) -> None:
        """Draw."""
        folder = pathlib.Path(self.out) / "samples"
        folder.mkdir(exist_ok=True)
        for i in range(min(self.n, len(self.data))):
            try:
                (img,) = self.data.read(i, ["img"])
            except DataError as error:
                self.report(error.omission)
                continue
            (detections,) = self.model.detect([img])
            image = Image.fromarray(img.transpose(1, 2, 0).astype("uint8"))
            sure = [found for found in detections if found.score > _SCORE]
            picture = draw(image, sure, self.model.label_names or (), min_point_score=min_point_score(self.model))
            save_picture(picture, folder / f"{i + 1}.jpg", quality=_QUALITY)


def write_report(out: pathlib.Path) -> pathlib.Path:
    """Put everything that a training wrote on one page, ``report.html``, which needs nothing else.

    Args:
        out (pathlib.Path): The folder of the training.

    Returns:
        pathlib.Path: The page.

    Raises:
        OSError: if a file cannot be read or written.
    """
    about = json.loads((out / "train.json").read_text(encoding="utf-8"))
    log = json.loads((out / "log").read_text(encoding="utf-8")) if (out / "log").exists() else []
    samples = sorted((out / "samples").glob("*.jpg"), key=lambda path: int(path.stem))
    page = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(out.name)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Training {html.escape(out.name)}</h1>",
        f"<p>{_summary(about, log)}</p>",
        *(f"<p>{_image(out / name)}</p>" for name in CURVES if (out / name).exists()),
        "<h2>Samples</h2>" if samples else "",
        '<div class="samples">' + "".join(map(_image, samples)) + "</div>",
        _classes(about["data"]) if "data" in about else "",
        "<h2>Figures</h2>" + _figures(log),
        "<h2>Options</h2>" + _options(about["settings"]),
        "<h2>Versions</h2>" + _table(about["versions"]),
        "</body></html>",
    ]
    with complete_file(out / "report.html") as file:
        file.write("\n".join(page) + "\n")
    return out / "report.html"


def _summary(about: dict[str, Any], log: list[dict]) -> str:
    counts, labels = about["images"], ", ".join(about["label_names"])
    text = f"{counts['training']} images to train with, {counts['validation']} to validate with; labels: {labels}."
    key = KEYPOINT_KEY if any(KEYPOINT_KEY in entry for entry in log) else KEY
    known = [entry for entry in log if not math.isnan(entry.get(key, math.nan))]
    best = max(known, key=lambda entry: entry[key], default=None)
    if best is not None:
        text += f" Best {KEYS[key]}: {best[key]:.4f}, after epoch {best['epoch']}."
    return html.escape(text)


def _classes(counts: dict[str, Any]) -> str:
    """Return what there is of each class as a table, and what is left out."""
    (head, *heads), *rows = class_rows(counts)
    cells = [_cells("th", [name]) + _cells("td", numbers, _NUMBER) for name, *numbers in rows]
    table = _rows([_cells("th", [head]) + _cells("th", heads, _NUMBER), *cells])
    text = html.escape(lines_below(counts)).replace("\n", "<br>")
    return f"<h2>Classes</h2>{table}<p>{text}</p>"


def _figures(log: list[dict]) -> str:
    """Return the log as a table with a column per figure."""
    names = sorted({name for entry in log for name in entry if "/" in name}, key=lambda name: (name.count("/"), name))
    shown = (name.replace("validation/main/", "validation ").removeprefix("main/") for name in names)
    rows = [_cells("th", ("epoch", "iteration", *shown), _NUMBER)]
    for entry in log:
        cells = (str(entry["epoch"]), str(entry["iteration"]), *(_number(entry.get(name)) for name in names))
        rows.append(_cells("td", cells, _NUMBER))
    return _rows(rows)


def _image(path: pathlib.Path) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(path.stem)}">'


def _options(settings: dict[str, Any]) -> str:
    """Return the options of a training as a table, and those that are at their defaults as one that is opened."""
    chosen = {key: value for key, value in settings.items() if value != DEFAULTS.get(key)}
    rest = {key: value for key, value in settings.items() if key not in chosen}
    return f"{_table(chosen)}<details><summary>at their defaults</summary>{_table(rest)}</details>"


def _table(values: dict[str, Any]) -> str:
    return _rows(_cells("th", [key]) + _cells("td", [_text(value)]) for key, value in values.items())


def _cells(tag: str, texts: Iterable[str], kind: str = "") -> str:
    return "".join(f"<{tag}{kind}>{html.escape(text)}</{tag}>" for text in texts)


def _rows(rows: Iterable[str]) -> str:
    return '<div class="wide"><table>' + "".join(f"<tr>{row}</tr>" for row in rows) + "</table></div>"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4f}"
