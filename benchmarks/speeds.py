"""Time every model of the registry on one photograph, for the table of models.

    python benchmarks/speeds.py                     # print milliseconds, six minutes for all
    python benchmarks/speeds.py resnet50 swin_t     # of these
    python benchmarks/speeds.py --write             # also put them into docs/speeds.json, which the table reads

``predict`` on the bundled photograph, with the preprocess that a model has by default and weights that are seeded. A
pyramid alone has no ``predict``, and no figure.
"""

import argparse
import json

import chainfpn  # noqa: F401  # isort: skip
from chainercv.utils import read_image

from bench_utils import markdown
from bench_utils.machine import Machine
from chainfpn import models
from chainfpn.data import photograph_path
from reference.classifier_answers import without_initial_values
from reference.detector_cases import GAINS
from reference.seeded_weights import fill_link

SPEEDS = markdown.DOCS / "speeds.json"


def milliseconds(name: str, machine: Machine, repeat: int = 3) -> float:
    """Return the least time that a model takes for the photograph.

    Args:
        name (str): The builder.
        machine (Machine): The clock.
        repeat (int): Timed runs, after one to warm up.

    Returns:
        float: Milliseconds, to three figures.
    """
    with without_initial_values():
        model = models.get_model(name)
    fill_link(model, GAINS)
    img = read_image(str(photograph_path()))
    return float(f"{1000 * machine.best(lambda: model.predict([img]), repeat):.3g}")


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="models (default: all that predict)")
    parser.add_argument("--write", action="store_true", help=f"put them into docs/{SPEEDS.name}")
    arguments = parser.parse_args()
    machine, found = Machine(), {}
    for name, record in models.MODELS.items():
        if record.task != "features" and name in (arguments.names or models.MODELS):
            found[name] = milliseconds(name, machine)
            print(f"{name:45} {found[name]:8g} ms", flush=True)
    if arguments.write:
        content = {"machine": machine.name(), "milliseconds": found}
        SPEEDS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
