"""Run models of detectron2 and mmdetection here, and write into docs/models.md how many of their detections are found.

python scripts/golden_table.py                                     # the small models, of tests/golden
python scripts/golden_table.py detectron2/retinanet_R_50_FPN_3x    # others, in minutes each; other rows stay
"""

import argparse
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import chainfpn  # noqa: E402, F401  (first, so that Chainer imports)
from golden.build import build, convert, inference  # noqa: E402
from golden.compare import PIXELS, SCORE, count_matched  # noqa: E402
from golden.model import GoldenModel, names  # noqa: E402

PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- begin: scripts/golden_table.py -->", "<!-- end: scripts/golden_table.py -->"

#: Precision, pixels and score of each column.
COLUMNS = {"float64": (PIXELS, SCORE), "float32": (0.5, 1e-3)}
HEADER = (
    f"| model | float64, within {PIXELS} pixels and {SCORE:.5f} | float32, within 0.5 pixels and 0.001 |\n|---|--:|--:|"
)


def row(name: str) -> str:
    """Convert a model, detect in its photographs and return its row.

    Args:
        name (str): ``framework/model``.

    Returns:
        str: Markdown.
    """
    model, cells = GoldenModel(name), []
    expected = sum(facts["n_detections"] for facts in model.facts.values())
    with tempfile.TemporaryDirectory() as folder:
        weights = convert(model, pathlib.Path(folder))
    for dtype, (pixels, score) in COLUMNS.items():
        detector, matched = build(model, weights, dtype), 0
        for photo in model.photos:
            with inference(dtype):
                (found,) = detector.detect([model.image(photo)])
            matched += count_matched(model, photo, found, pixels=pixels, score=score)
        cells.append(f"{matched} of {expected}")
    return f"| {' | '.join([name.replace('/', ' '), *cells])} |"


def rows(page: str) -> dict[str, str]:
    """Return the rows of the table in docs/models.md, by ``framework/model``."""
    lines = page.partition(BEGIN)[2].partition(END)[0].splitlines()
    found = [line for line in lines if line.startswith(("| detectron2 ", "| mmdetection "))]
    return {line.split("|")[1].strip().replace(" ", "/"): line for line in found}


def with_rows(page: str, new: dict[str, str]) -> str:
    """Return the page with rows put into its table."""
    before, _, rest = page.partition(BEGIN)
    table = rows(page) | new
    lines = "\n".join(table[name] for name in sorted(table))
    return f"{before}{BEGIN}\n{HEADER}\n{lines}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Parse the command line and write the page, a model at a time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="FRAMEWORK/MODEL", help="the small ones by default")
    for name in parser.parse_args().models or names():
        new = {name: row(name)}
        print(*new.values())
        PAGE.write_text(with_rows(PAGE.read_text("utf-8"), new), "utf-8")


if __name__ == "__main__":
    main()
