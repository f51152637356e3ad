"""Time every model of the registry on one photograph, for the table of models.

    python benchmarks/speeds.py                     # print milliseconds, six minutes for all
    python benchmarks/speeds.py resnet50 swin_t     # of these
    python benchmarks/speeds.py --device cuda       # on a GPU
    python benchmarks/speeds.py --write             # also put a CPU's into docs/speeds.json, which the table reads

``predict`` on the bundled photograph, with the preprocess that a model has by default and weights that are seeded; a
pyramid alone, which has no ``predict``, is called with the photograph's pixels. What is measured on a machine and a day
stands together: figures of another are dropped. A model that fails is named, and the next one timed.
"""

import argparse
import json
import sys

import chainfpn  # noqa: F401  # isort: skip
import chainer
from chainercv.utils import read_image

from bench_utils import markdown
from bench_utils.machine import Machine, add_device
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
    model.to_device(machine.chainers_device)
    img = read_image(str(photograph_path()))
    run, x = (
        (model, machine.xp.asarray(img[None])) if models.MODELS[name].task == "features" else (model.predict, [img])
    )
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return float(f"{1000 * machine.best(lambda: run(x), repeat):.3g}")


def keep(found: dict[str, float], machine: Machine) -> None:
    """Put milliseconds beside those of the same machine and day."""
    about = {"machine": machine.name(), "date": machine.date}
    before = json.loads(SPEEDS.read_text(encoding="utf-8"))
    same = all(before.get(key) == value for key, value in about.items())
    figures = (before["milliseconds"] if same else {}) | found
    content = about | {"milliseconds": {name: figures[name] for name in models.MODELS if name in figures}}
    SPEEDS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="models (default: all)")
    add_device(parser, "(default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put a CPU's into docs/{SPEEDS.name}")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - models.MODELS.keys():
        parser.error(f"NAME: must be models that chainfpn models lists, got {', '.join(sorted(unknown))}")
    machine, failed = Machine(arguments.device), False
    for name in arguments.names or models.MODELS:
        try:
            speed = milliseconds(name, machine)
        except Exception as error:
            failed = True
            print(f"{name:45} fails: {type(error).__name__}: {error}", flush=True)
            continue
        print(f"{name:45} {speed:8g} ms", flush=True)
        if arguments.write and not machine.on_gpu:
            keep({name: speed}, machine)
    sys.exit(failed)


if __name__ == "__main__":
    main()
