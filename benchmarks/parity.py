"""How near the models are to torchvision's and kuangliu's, with the same weights and images, and what is published.

    python benchmarks/parity.py                       # print the tables
    python benchmarks/parity.py detectors --write     # print that of the detectors and put it into docs/models.md
    python benchmarks/parity.py --device cuda         # print what a GPU computes, against torchvision on the CPU

The weights follow from their names, batch statistics included, so that no file is needed; the batches are of odd size,
and of the detectors the second image is smaller. A difference is the largest one in an array, as a share of the largest
number there. Needs an interpreter that has torchvision.
"""

import argparse
from collections.abc import Iterable, Iterator

import numpy as np

from bench_utils import markdown
from bench_utils.machine import Machine, add_device
from chainfpn import models
from chainfpn._typing import Array
from reference import classifier_answers, classifier_cases, detector_answers, detector_cases, torchvision_live
from reference.classifier_answers import difference, without_initial_values
from reference.torchvision_live import TorchvisionLive


def classifiers(live: TorchvisionLive, device: str) -> Iterator[str]:
    """Yield the lines of the classifiers' table: differences in an inner layer and the logits."""
    yield "| model | parameters | difference, float32 | float64 | published top-1 (V1, V2) |"
    yield "|---|---:|---:|---:|---|"
    for _, _, builders in classifier_cases.FAMILIES.values():
        for builder in builders:
            answers = classifier_cases.theirs(live, [builder])
            n_param, *arrays = classifier_answers.ours(builder, device=device)
            require_equal(builder, n_param, answers[f"{builder} parameters"])
            shown = [_worst(answers, builder, "float32", arrays), ""]
            if f"{builder} torch.float64 logits" in answers:
                shown[1] = _worst(answers, builder, "float64", classifier_answers.ours(builder, "float64", device)[1:])
            yield row(builder, [*shown, figures(builder, "top1")])


def _worst(answers: dict[str, Array], builder: str, dtype: str, arrays: Iterable[Array]) -> str:
    references = [answers[f"{builder} torch.{dtype} {name}"] for name in ("inner", "logits")]
    return f"{max(map(difference, arrays, references)):.0e}"


def detectors(live: TorchvisionLive, device: str) -> Iterator[str]:
    """Yield the lines of the detectors' table: differences in the pyramid, the heads and what is found."""
    yield (
        "| model | parameters | pyramid, float32 | float64 | heads, float32 | float64 | boxes, float64 (pixels) "
        "| published AP: boxes, masks, keypoints |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---|"
    for builder in detector_cases.CASES:
        yield row(builder, [*differences(live, builder, device), figures(builder, "box", "mask", "keypoint")])


def kuangliu(live: TorchvisionLive, device: str) -> Iterator[str]:
    """Yield the lines of the table of kuangliu's networks: differences as of the detectors."""
    yield "| model | parameters | pyramid, float32 | float64 | heads, float32 | float64 | boxes, float64 (pixels) |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for builder in detector_cases.KUANGLIU_CASES:
        yield row(builder, differences(live, builder, device))


def differences(live: TorchvisionLive, builder: str, device: str) -> list[str]:
    """Return the cells of a detector: pyramid and heads in both precisions, boxes; empty for what it has not."""
    expected = detector_cases.theirs(live, builder)
    answers = {}
    for dtype in ("float32", "float64"):
        answers |= detector_answers.ours(builder, dtype, device)
    require_equal(builder, answers["parameters"], expected["parameters"])
    shown = []
    for part in ("map", "head"):
        for dtype in ("float32", "float64"):
            names = [name for name in expected if name.startswith(dtype) and "found" not in name]
            names = [name for name in names if name.startswith(f"{dtype} map") == (part == "map")]
            shown.append(_largest(difference(answers[name], expected[name]) for name in names))
    boxes = [name for name in expected if name.startswith("float64 found") and name.endswith("bbox")]
    shown.append(_largest(float(np.abs(answers[name] - expected[name]).max()) for name in boxes))
    return shown


def _largest(values: Iterable[float]) -> str:
    largest = max(values, default=None)
    return "" if largest is None else f"{largest:.0e}"


def require_equal(builder: str, ours: int, theirs: int) -> None:
    """Stop if the numbers of parameters differ."""
    if ours != theirs:
        raise SystemExit(f"{builder} has {ours} parameters, torchvision's {theirs}")


def row(builder: str, cells: list[str]) -> str:
    """Make a line: the model, its parameters with the published number of classes, and what else there is."""
    with without_initial_values():
        n_param = detector_answers.n_param(models.MODELS[builder].builder())
    return f"| {' | '.join([f'`{builder}`', f'{n_param:,}', *cells])} |"


def figures(builder: str, *names: str) -> str:
    """Return what is published of each file of a model."""
    files = models.list_weights(builder).values()
    return ", ".join(str(preset.figures[name]) for preset in files for name in names if name in preset.figures)


#: Name of a table to what yields its lines.
TABLES = {"classifiers": classifiers, "detectors": detectors, "kuangliu": kuangliu}


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description="Compare the models with torchvision's.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"{', '.join(TABLES)}; all by default")
    parser.add_argument("--write", action="store_true", help="also put the tables into docs/models.md")
    add_device(parser, "where our models run")
    options = parser.parse_args()
    if options.write and options.device == "cuda":
        parser.error("--write: docs/models.md has a CPU's tables")
    if unknown := set(options.tables) - TABLES.keys():
        raise SystemExit(f"there is no table {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}")
    live = torchvision_live.find()
    if live is None:
        raise SystemExit("no interpreter here has torchvision (CHAINFPN_TORCHVISION_PYTHON names one)")
    device = Machine(options.device).chainers_device
    for name in options.tables or TABLES:
        lines = []
        for line in TABLES[name](live, device):
            print(line, flush=True)
            lines.append(line)
        if options.write:
            markdown.write(f"parity.py {name}", "\n".join(lines), markdown.DOCS / "models.md")


if __name__ == "__main__":
    main()
