"""Draw the way of an image through a detector, and of a weight through the converter: docs/images/way_of_*.svg.

    python scripts/draw_ways.py          # into docs/images; tests/test_site.py has them drawn again

Nothing in the pictures is written by hand but the sentences: the bundled detector finds the astronaut, its weights are
converted into a ``.pth`` and back, and shapes, names and files are what was met on the way.
"""

import pathlib
import sys
import tempfile
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import chainfpn  # noqa: F401  (first: it makes Chainer importable)

# isort: split

import chainer

import weights_convert
from chainfpn import data, models
from chainfpn.images import read_image, to_array

ROOT = pathlib.Path(__file__).resolve().parents[1]
WIDTH, STEP, BOX = 340, 92, 72


class Step(NamedTuple):
    """A box of a picture: what is there, its shape or name, and the file that makes the next of it."""

    title: str
    shape: str
    where: str = ""


class Shapes(chainer.LinkHook):
    """Note the shapes that links take and return, by name, and their files."""

    name = "Shapes"

    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}
        self.shapes: dict[str, Any] = {}
        self.files: dict[str, str] = {}

    def forward_postprocess(self, args: Any) -> None:
        """Note shape and file of one link."""
        self.inputs[args.link.name], self.shapes[args.link.name] = shape(args.args[0]), shape(args.out)
        self.files[args.link.name] = module_file(args.link)


def shape(value: Any) -> Any:
    """Return the shape of an array, or those of arrays in lists."""
    return [shape(each) for each in value] if isinstance(value, list | tuple) else getattr(value, "shape", None)


def module_file(value: Any) -> str:
    """Return the file of the class of an object."""
    return type(value).__module__.replace(".", "/") + ".py"


def way_of_an_image() -> list[Step]:
    """Run the bundled detector, and return what was met."""
    detector = models.load(data.weights_path())
    picture = to_array(read_image(data.photograph_path()))
    with Shapes() as hook:
        (found,) = detector.detect([picture])
    x, _ = detector.prepare([picture])
    shapes, files = hook.shapes, hook.files
    best = f"{detector.label_names[found.label[0]]} {found.score[0]:.2f} at {[round(float(v)) for v in found.bbox[0]]}"
    return [
        Step("An image, RGB, 0..255", f"{picture.shape}", module_file(detector.preprocess)),
        Step("Normalized, resized, padded", f"{x.shape}", files["body"]),
        Step("Maps of the trunk", levels(shapes["body"]), files["fpn"]),
        Step("Levels of the pyramid", levels(shapes["fpn"]), files["rpn"]),
        Step("Scores and deltas of all anchors", f"{sum(n for _, n in shapes['head'][0])} anchors", files["rpn"]),
        Step("Proposals, after NMS", f"{shapes['rpn'][0]}", files["roi_heads"]),
        Step("RoI Align from their levels", f"{hook.inputs['box_head']}", files["box_head"]),
        Step("Class logits and deltas", " ".join(map(str, shapes["box_predictor"])), files["roi_heads"]),
        Step("Detections, in pixels of the image", best),
    ]


def levels(shapes: list[tuple[int, ...]]) -> str:
    """Return channels and sizes of maps."""
    return f"{shapes[0][1]} x " + ", ".join(str(h) for *_, h, _ in shapes)


def way_of_a_weight() -> list[Step]:
    """Convert the bundled weights there and back, and return what became of one."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, file = pathlib.Path(folder) / "person.pth", pathlib.Path(folder) / "person.npz"
        weights_convert.convert(data.weights_path(), checkpoint)
        report = weights_convert.convert(checkpoint, file)
        name, (source, size, dtype) = next(
            entry for entry in report.mapped.items() if entry[0].endswith("layer1/0/conv1/W")
        )
        model = models.load(file)
    link = dict(model.namedparams())[f"/{name}"]
    return [
        Step("A checkpoint of PyTorch", f"{checkpoint.name}, {report.format}", "weights_convert/read/"),
        Step("Names and arrays, nothing executed", source, "weights_convert/layouts/"),
        Step(f"Names of {report.layout}", f"{dtype} {tuple(size)}", "weights_convert/architectures/"),
        Step("The model, by names and shapes", str(report.model), "chainfpn/models/"),
        Step("Every name and shape is there", f"{len(report.mapped)} tensors", "weights_convert/param_names.py"),
        Step("Names of Chainer, the same values", name, "weights_convert/write/npz.py"),
        Step("A file that names its model", f"{file.name}, __meta__", "chainfpn/serialization.py"),
        Step("A parameter of a link", f"{link.dtype} {link.shape}"),
    ]


def draw(title: str, steps: list[Step], height: int) -> str:
    """Return a picture of boxes, one below the other."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" text-anchor="middle">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
        text(26, title, 16, "#004d40", "bold"),
    ]
    for i, step in enumerate(steps):
        y = 40 + i * STEP
        parts += [
            f'<rect x="12" y="{y}" width="{WIDTH - 24}" height="{BOX}" rx="6" fill="#e0f2f1" stroke="#00897b"/>',
            text(y + 22, step.title, 14, "#111", "bold"),
            f'<g font-family="monospace">{text(y + 42, step.shape, 12, "#111")}</g>',
            text(y + 62, step.where, 12, "#00695c"),
        ]
        if step is not steps[-1]:
            middle, end = WIDTH / 2, y + STEP
            parts.append(f'<path d="M{middle} {y + BOX}V{end - 6}m-5 -5l5 7l5 -7" fill="none" stroke="#00897b"/>')
    return "\n".join([*parts, "</svg>\n"])


def text(y: int, content: str, size: int, colour: str, weight: str = "normal") -> str:
    """Return a line of text in the middle."""
    content = escape(content)
    return f'<text x="{WIDTH // 2}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}">{content}</text>'


def main(folder: pathlib.Path) -> None:
    """Draw both pictures."""
    ways = {"an image": way_of_an_image(), "a weight": way_of_a_weight()}
    height = 48 + STEP * max(map(len, ways.values()))
    for name, steps in ways.items():
        picture = draw(f"The way of {name}", steps, height)
        (folder / f"way_of_{name.replace(' ', '_')}.svg").write_text(picture, "utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
