"""Count the files of chainfpn whose code runs, kernels left out, and print a Markdown table.

    python scripts/count_files.py

A Faster R-CNN is built, trained for a step and asked for detections, each under ``sys.setprofile``.
"""

import pathlib
import sys
from collections.abc import Callable

import chainfpn  # first: it makes Chainer importable

# isort: split

import chainer
import numpy as np

from chainfpn import models
from chainfpn.training import TrainChain

PACKAGE = pathlib.Path(chainfpn.__file__).parent
KERNELS = PACKAGE / "functions" / "kernels"


def executed(run: Callable[[], object]) -> list[str]:
    """Return the files of the package whose functions run, modules that are imported on the way not counted as run.

    Args:
        run (callable): What to run.

    Returns:
        list of str: Paths within the package, sorted.
    """
    names = set()

    def note(frame, event, argument):
        if event == "call" and frame.f_code.co_name != "<module>":
            names.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    paths = [path for path in map(pathlib.Path, names) if path.is_relative_to(PACKAGE)]
    return sorted(str(path.relative_to(PACKAGE)) for path in paths if not path.is_relative_to(KERNELS))


def main() -> None:
    """Print the table; with ``--names`` also the files."""
    img, bbox = np.full((3, 64, 64), 99, np.float32), np.array([[8, 8, 40, 48]], np.float32)
    label = np.zeros(1, np.int32)
    options = {"n_fg_class": 1, "stages": (1, 2), "min_size": 64, "max_size": 64, "head_channels": 8}
    model = models.fasterrcnn_resnet_fpn(18, **options)
    chain = TrainChain(model)
    optimizer = chainer.optimizers.SGD(1e-3).setup(chain)
    runs: dict[str, Callable[[], object]] = {
        "building": lambda: models.fasterrcnn_resnet_fpn(18, **options),
        "a training step": lambda: optimizer.update(chain, [img], [bbox], [label]),
        "`predict`": lambda: model.predict([img]),
    }
    for run in runs.values():
        run()  # everything once before, for what is imported on the way
    print("| Faster R-CNN | files of chainfpn that run |\n|---|--:|")
    for name, run in runs.items():
        files = executed(run)
        print(f"| {name} | {len(files)} |")
        if "--names" in sys.argv[1:]:
            print(*files, sep="\n")


if __name__ == "__main__":
    main()
