"""Detect in many images, one after the other, and watch the memory: it must stay what it was after the first hundred.

    python benchmarks/soak.py                           # 1,000 images, the detector of the benchmarks, engine chainer
    python benchmarks/soak.py --engine onnx             # the same on ONNX Runtime
    python benchmarks/soak.py --images 200 --min-size 400
    python benchmarks/soak.py --device cuda             # on a GPU, the memory that CuPy took of it included
    python benchmarks/soak.py --write                   # also put the table into docs/benchmarks.md

Faster R-CNN with a ResNet-50 and a feature pyramid, random weights, on the bundled photograph cut to sizes that change
from image to image, so that no two follow each other that need the same buffers. Prints a row for every tenth of the
images, and ends with status 1 if there is more than 5 % more memory in the end than after the first tenth.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator

import chainfpn  # noqa: F401  # isort: skip
import numpy as np
from chainercv.utils import read_image

from bench_utils import markdown
from bench_utils.machine import Machine, add_device, memory
from chainfpn import models
from chainfpn._typing import Array
from chainfpn.data import photograph_path

#: More memory than this, times that after the first tenth, is a leak.
MOST = 1.05


def images(n: int) -> Iterator[Array]:
    """Yield n parts of the photograph, (3, H, W), of sides that are from half of its own to all of it."""
    photograph, rng = read_image(str(photograph_path())), np.random.default_rng(0)
    for _ in range(n):
        height, width = (int(side * rng.uniform(0.5, 1)) for side in photograph.shape[1:])
        yield photograph[:, :height, :width]


def soak(n: int, min_size: int, engine: str, show: Callable[[str], None], machine: Machine) -> float:
    """Detect in n images, show a row for every tenth; return how many times the memory after the first there is."""
    detector = models.fasterrcnn_resnet50_fpn(min_size=min_size).to_engine(engine)
    if machine.on_gpu:
        detector.to_device(machine.chainers_device)
    show("| images | memory, MB | times that after a tenth | seconds per image |\n|--:|--:|--:|--:|")
    found, start, step = [], time.perf_counter(), max(n // 10, 1)
    for k, img in enumerate(images(n), 1):
        detector.predict([img])
        if k % step == 0:
            found.append(memory() + machine.device_memory())
            seconds = (time.perf_counter() - start) / step
            show(f"| {k} | {found[-1]:.0f} | {found[-1] / found[0]:.3f} | {seconds:.2f} |")
            start = time.perf_counter()
    return found[-1] / found[0]


def main() -> None:
    """Soak, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument(
        "--min-size", type=int, default=800, metavar="PIXELS", help="shorter side (default: %(default)s)"
    )
    parser.add_argument("--engine", choices=["chainer", "onnx"], default="chainer", help="(default: %(default)s)")
    add_device(parser, "(default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put a CPU's table into docs/{markdown.BENCHMARKS.name}")
    arguments = parser.parse_args()
    machine, lines = Machine(arguments.device), []

    def show(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    grown = soak(arguments.images, arguments.min_size, arguments.engine, show, machine)
    if arguments.write and not machine.on_gpu:
        about = f"Faster R-CNN with a ResNet-50 at {arguments.min_size} pixels, engine {arguments.engine}"
        markdown.write("soak.py", "\n".join([*lines, "", machine.signature(about)]))
    print(
        f"After {arguments.images} images {grown:.3f} times the memory after the first tenth; at most {MOST} is good."
    )
    sys.exit(grown > MOST)


if __name__ == "__main__":
    main()
