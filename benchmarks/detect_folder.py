"""Time ``chainfpn detect`` on a folder, against a plain loop over ``predict``.

    python benchmarks/detect_folder.py             # print the table
    python benchmarks/detect_folder.py --write     # also put it into docs/benchmarks.md

The bundled detector on photographs of 12 and of 0.3 megapixels, for which decoding and drawing take as long as
detecting and a small part of it. Both read, detect, draw and write JPEG and JSON; the loop one after the other, the
command beside each other. The limit is the processor time of the loop shared by all cores.
"""

import argparse
import contextlib
import io
import json
import pathlib
import tempfile
import time
from collections.abc import Callable, Sequence

import chainfpn  # noqa: F401  # isort: skip
import numpy as np

from bench_utils import markdown
from bench_utils.machine import Machine
from chainfpn.cli.detection_run import RunOptions, detect_all
from chainfpn.cli.drawing import draw
from chainfpn.cli.results import save_picture
from chainfpn.cli.sources import Source
from chainfpn.data import photograph_path, weights_path
from chainfpn.images import read_image
from chainfpn.links import Detector
from chainfpn.models import load

#: Longer side of the photographs, and the shorter one that the detector resizes them to.
CASES = {"12 megapixels, detected at 256": (4000, 256), "0.3 megapixels, detected at 512": (640, 512)}


def photographs(folder: pathlib.Path, side: int, n: int) -> list[pathlib.Path]:
    """Write the bundled photograph, enlarged or reduced, so many times."""
    image = read_image(photograph_path())
    image = image.resize((side, side * image.height // image.width))
    paths = [folder / f"{i:03}.jpg" for i in range(n)]
    for path in paths:
        image.save(path, quality=90)
    return paths


def plain_loop(detector: Detector, paths: Sequence[pathlib.Path], out: pathlib.Path) -> None:
    """Detect as a script of a few lines would."""
    names, found = detector.label_names or [], []
    for path in paths:
        image = read_image(path)
        (detections,) = detector.detect([np.asarray(image).transpose(2, 0, 1)])
        save_picture(draw(image, detections, names), out / path.name)
        found.append({"file": path.name, "detections": detections.to_json(names)})
    (out / "found.json").write_text(json.dumps(found))


def command(detector: Detector, paths: Sequence[pathlib.Path], out: pathlib.Path) -> None:
    """Detect as ``chainfpn detect`` does."""
    options = RunOptions(out, json=str(out / "found.json"), quiet=True)
    with contextlib.redirect_stdout(io.StringIO()):
        detect_all(detector, [Source(str(path)) for path in paths], options)


def seconds(run: Callable[..., None], *args: object) -> tuple[float, float]:
    """Return the wall and the processor seconds of a run."""
    wall, cpu = time.perf_counter(), time.process_time()
    run(*args)
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(n: int, repeat: int) -> str:
    """Return the table."""
    machine, detector = Machine(), load(weights_path())
    detector.score_thresh = 0.5
    lines = ["| photographs | loop | command | times as fast | limit |", "|---|---|---|---|---|"]
    for case, (side, min_size) in CASES.items():
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            paths = photographs(folder, side, n)
            detector.preprocess.min_size = min_size
            for run in (plain_loop, command):
                run(detector, paths[:2], folder)  # compiles
            turns = [[seconds(run, detector, paths, folder) for run in (plain_loop, command)] for _ in range(repeat)]
        (loop, cpu), (ours, _) = (min(run) for run in zip(*turns, strict=True))
        limit = cpu / machine.n_threads
        lines.append(
            f"| {case} | {n / loop:.2f} a second | {n / ours:.2f} a second | {loop / ours:.2f} | {loop / limit:.2f} |"
        )
    return "\n".join([*lines, "", machine.signature(f"{n} photographs, best of {repeat} in turns")])


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=12, metavar="N", help="photographs (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="timed runs of each (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{markdown.BENCHMARKS.name}")
    arguments = parser.parse_args()
    section = measure(arguments.n, arguments.repeat)
    print(section)
    if arguments.write:
        markdown.write("detect_folder.py", section)


if __name__ == "__main__":
    main()
