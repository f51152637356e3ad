"""Time ``chainfpn detect`` on a folder, against a plain loop over ``detect``.

    python benchmarks/detect_folder.py             # print the table
    python benchmarks/detect_folder.py --write     # also put it into docs/benchmarks.md

The bundled detector on photographs of 12 and of 0.3 megapixels, for which decoding and drawing take as long as
detecting and a small part of it, and on files of many sizes and kinds. All read, detect, draw and write pictures and
JSON: the loops one image after the other, with all threads on each, the command several images at a time. The limit is
the processor time of the loop on the command's engine shared by all cores.
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
from bench_utils.machine import Machine, add_device
from chainfpn.cli.detection_run import RunOptions, count_workers, detect_all
from chainfpn.cli.drawing import draw
from chainfpn.cli.results import picture_paths, save_picture
from chainfpn.cli.sources import Source
from chainfpn.data import photograph_path, weights_path
from chainfpn.functions.kernels import threads
from chainfpn.images import read_image
from chainfpn.links import Detector
from chainfpn.models import load

#: Sizes of the photographs, kinds of their files, and the shorter side that the detector resizes them to.
CASES = {
    "12 megapixels, detected at 256": ([4000], ["jpg"], 256),
    "0.3 megapixels, detected at 512": ([640], ["jpg"], 512),
    "0.1 to 12 megapixels, detected at 512": ([400, 2000, 640, 1280, 4000], ["jpg", "png", "webp"], 512),
}


def photographs(folder: pathlib.Path, sides: Sequence[int], kinds: Sequence[str], n: int) -> list[pathlib.Path]:
    """Write the bundled photograph so many times, of sizes and kinds in turn."""
    image = read_image(photograph_path())
    paths = [folder / f"{i:03}.{kinds[i % len(kinds)]}" for i in range(n)]
    for i, path in enumerate(paths):
        side = sides[i % len(sides)]
        image.resize((side, side * image.height // image.width)).save(path, quality=90)
    return paths


def plain_loop(detector: Detector, paths: Sequence[pathlib.Path], out: pathlib.Path) -> None:
    """Detect as a script of a few lines would."""
    names, found = detector.label_names or [], []
    pictures = picture_paths(out, [Source(str(path)) for path in paths])
    for path, picture in zip(paths, pictures, strict=True):
        image = read_image(path)
        (detections,) = detector.detect([np.asarray(image).transpose(2, 0, 1)])
        save_picture(draw(image, detections, names), picture)
        found.append({"file": path.name, "detections": detections.to_json(names)})
    (out / "found.json").write_text(json.dumps(found))


def command(detector: Detector, paths: Sequence[pathlib.Path], out: pathlib.Path) -> None:
    """Detect as ``chainfpn detect`` does."""
    sources = [Source(str(path)) for path in paths]
    workers = count_workers(sources, 1, threads.N_THREADS)
    options = RunOptions(out, json=str(out / "found.json"), quiet=True, workers=workers)
    with contextlib.redirect_stdout(io.StringIO()):
        detect_all(detector, sources, options)


def seconds(run: Callable[..., None], *args: object) -> tuple[float, float]:
    """Return the wall and the processor seconds of a run."""
    wall, cpu = time.perf_counter(), time.process_time()
    run(*args)
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(n: int, repeat: int, machine: Machine) -> str:
    """Return the table."""
    detector = load(weights_path())
    detector.score_thresh = 0.5
    detector.to_device(machine.chainers_device)
    n_threads = threads.N_THREADS
    loops, fast = [detector], detector
    if not machine.on_gpu:
        loops, fast = [detector, detector.to_engine("auto", threads=n_threads)], detector.to_engine("auto", threads=1)
    ways = [*((plain_loop, loop) for loop in loops), (command, fast)]
    titles = [*(f"loop, {loop.engine}" for loop in loops), f"command, {fast.engine}"]
    titles += [title for loop in loops for title in (f"over {loop.engine}", "limit")]
    lines = [f"| photographs | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for case, (sides, kinds, min_size) in CASES.items():
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            paths = photographs(folder, sides, kinds, n)
            detector.preprocess.min_size = min_size
            for run, on in ways:
                run(on, paths[:2], folder)  # compiles
            turns = [[seconds(run, on, paths, folder) for run, on in ways] for _ in range(repeat)]
        *plain, (ours, _) = (min(turn) for turn in zip(*turns, strict=True))
        rates = [f"{n / wall:.2f} a second" for wall in (*(wall for wall, _ in plain), ours)]
        cpu = plain[-1][1]  # of the loop on the command's engine
        ratios = [f"{number:.2f}" for wall, _ in plain for number in (wall / ours, wall * n_threads / cpu)]
        lines.append(f"| {' | '.join([case, *rates, *ratios])} |")
    return "\n".join([*lines, "", machine.signature(f"{n} photographs, best of {repeat} in turns")])


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=12, metavar="N", help="photographs (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="timed runs of each (default: %(default)s)")
    add_device(parser, "(default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put a CPU's table into docs/{markdown.BENCHMARKS.name}")
    arguments = parser.parse_args()
    machine = Machine(arguments.device)
    section = measure(arguments.n, arguments.repeat, machine)
    markdown.show("detect_folder.py", section, write_too=arguments.write and not machine.on_gpu)


if __name__ == "__main__":
    main()
