"""How near the classifiers are to torchvision's, with the same weights and images, and what is published of each.

    python benchmarks/parity.py               # print the table
    python benchmarks/parity.py --write       # also put it into docs/models.md

The weights follow from their names, batch statistics included, so that no file is needed; the images are two of odd
size. A difference is the largest one in the logits and in an inner layer, as a share of the largest number there.
Needs an interpreter that has torchvision.
"""

import argparse
import pathlib
import sys

import chainfpn  # noqa: F401  isort: skip

from chainfpn import models

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from reference import torchvision_live  # noqa: E402
from reference.classifier_answers import difference, ours  # noqa: E402
from reference.classifier_cases import FAMILIES, theirs  # noqa: E402

PAGE = ROOT / "docs" / "models.md"
MARKERS = ("<!-- begin: benchmarks/parity.py -->", "<!-- end: benchmarks/parity.py -->")


def rows(live):
    """Yield a row for each classifier: name, parameters, differences in float32 and float64, published top-1."""
    for family, (_, _, builders) in FAMILIES.items():
        answers = theirs(live, family)
        for builder in builders:
            n_param, *arrays = ours(builder)
            differences = [compare(answers, builder, "float32", arrays)]
            if f"{builder} torch.float64 logits" in answers:
                differences.append(compare(answers, builder, "float64", ours(builder, "float64")[1:]))
            if n_param != answers[f"{builder} parameters"]:
                raise SystemExit(
                    f"{builder} has {n_param} parameters, torchvision's {answers[f'{builder} parameters']}"
                )
            with_all_classes = sum(param.size for param in models.BUILDERS[builder]().params())
            figures = [preset.figures["top1"] for preset in models.PRESETS[builder].values() if preset.figures]
            yield builder, with_all_classes, differences, figures


def compare(answers, builder, dtype, arrays):
    """Tell the largest difference in the inner layer and the logits."""
    return max(
        difference(array, answers[f"{builder} torch.{dtype} {name}"])
        for name, array in zip(("inner", "logits"), arrays, strict=True)
    )


def table(live):
    """Return the table as Markdown."""
    lines = [
        "| model | parameters | difference, float32 | float64 | published top-1 (V1, V2) |",
        "|---|---:|---:|---:|---|",
    ]
    for builder, n_param, differences, figures in rows(live):
        shown = [f"{value:.0e}" for value in differences] + [""] * (2 - len(differences))
        lines.append(f"| `{builder}` | {n_param:,} | {shown[0]} | {shown[1]} | {', '.join(map(str, figures))} |")
    return "\n".join(lines)


def write(text):
    """Put the table between its markers in the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(MARKERS[0])
    _, after = rest.split(MARKERS[1])
    PAGE.write_text(f"{before}{MARKERS[0]}\n{text}\n{MARKERS[1]}{after}", encoding="utf-8")


def main():
    """Run the comparison."""
    parser = argparse.ArgumentParser(description="Compare the classifiers with torchvision's.")
    parser.add_argument("--write", action="store_true", help="also put the table into docs/models.md")
    options = parser.parse_args()
    live = torchvision_live.find()
    if live is None:
        raise SystemExit("no interpreter here has torchvision (CHAINFPN_TORCHVISION_PYTHON names one)")
    text = table(live)
    print(text)
    if options.write:
        write(text)


if __name__ == "__main__":
    main()
