"""What a training leaves to look at: sample pictures, and one page with everything on it."""

import base64
import html
import json
import math
import pathlib

from chainer.training import extension
from PIL import Image

from chainfpn.cli.drawing import draw
from chainfpn.cli.output import complete_file
from chainfpn.datasets import DataError

#: The figure that tells the best weights.
KEY = "validation/main/map"

#: Score above which a detection is drawn.
_SCORE = 0.5
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { border-bottom: 1px solid #ddd; padding: .2rem .8rem; }
th { text-align: left; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; } .samples { display: flex; flex-wrap: wrap; gap: .5rem; } .samples img { max-height: 18rem; }
"""


class Samples(extension.Extension):
    """Draw what the detector finds in the first images of a data set: ``samples/1.jpg`` and so on.

    Args:
        model (chainfpn.links.Detector): The detector.
        data (DetectionDataset): Its first images are drawn.
        out (str or os.PathLike): The folder.
        n (int): How many.
        report (callable): Takes a sentence about each image that cannot be read.
    """

    name = "Samples"
    trigger = 1, "epoch"

    def __init__(self, model, data, out, *, n, report):
        self.model = model
        self.data = data
        self.folder = pathlib.Path(out) / "samples"
        self.n = min(n, len(data))
        self.report = report

    def __call__(self, trainer):
        """Draw.

        Args:
            trainer (chainer.training.Trainer): Not used.
        """
        self.folder.mkdir(exist_ok=True)
        for i in range(self.n):
            try:
                (img,) = self.data.read(i, ["img"])
            except DataError as error:
                self.report(f"{error}: left out")
                continue
            (bbox,), (label,), (score,) = self.model.predict([img])[:3]
            shown = score > _SCORE
            image = Image.fromarray(img.transpose(1, 2, 0).astype("uint8"))
            picture = draw(image, bbox[shown], label[shown], score[shown], self.model.label_names)
            with complete_file(self.folder / f"{i + 1}.jpg", "wb") as file:
                picture.save(file, format="JPEG", quality=85)


def write_report(out):
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
    names = sorted({name for entry in log for name in entry if "/" in name})
    figures = [
        "<tr><th>epoch</th><th>iteration</th>" + "".join(f"<th>{html.escape(_short(n))}</th>" for n in names) + "</tr>"
    ]
    for entry in log:
        cells = [str(entry["epoch"]), str(entry["iteration"]), *(_number(entry.get(name)) for name in names)]
        figures.append("<tr>" + "".join(f'<td class="n">{cell}</td>' for cell in cells) + "</tr>")
    samples = sorted((out / "samples").glob("*.jpg"), key=lambda path: int(path.stem))
    page = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{html.escape(out.name)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Training {html.escape(out.name)}</h1>",
        f"<p>{_summary(about, log)}</p>",
        *(f"<p>{_image(out / name)}</p>" for name in ("losses.png", "ap.png") if (out / name).exists()),
        "<h2>Samples</h2>" if samples else "",
        '<div class="samples">' + "".join(map(_image, samples)) + "</div>",
        "<h2>Figures</h2><table>" + "".join(figures) + "</table>",
        "<h2>Options</h2>" + _table(about["settings"]),
        "<h2>Versions</h2>" + _table(about["versions"]),
        "</body></html>",
    ]
    with complete_file(out / "report.html") as file:
        file.write("\n".join(page) + "\n")
    return out / "report.html"


def _summary(about, log):
    counts, labels = about["images"], ", ".join(about["label_names"])
    text = f"{counts['training']} images to train with, {counts['validation']} to validate with; labels: {labels}."
    known = [entry for entry in log if not math.isnan(entry.get(KEY, math.nan))]
    best = max(known, key=lambda entry: entry[KEY], default=None)
    if best is not None:
        text += f" Best average precision at an IoU of 0.5: {best[KEY]:.4f}, after epoch {best['epoch']}."
    return html.escape(text)


def _image(path):
    kind = "png" if path.suffix == ".png" else "jpeg"
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(path.stem)}">'


def _table(values):
    rows = (
        f"<tr><th>{html.escape(str(key))}</th><td>{html.escape(json.dumps(value))}</td></tr>"
        for key, value in values.items()
    )
    return "<table>" + "".join(rows) + "</table>"


def _short(name):
    return name.replace("validation/main/", "validation ").removeprefix("main/")


def _number(value):
    return "" if value is None or math.isnan(value) else f"{value:.4f}"
