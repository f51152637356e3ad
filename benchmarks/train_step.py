"""Time one training step, stage by stage, against torchvision and against Chainer's own convolution.

    python benchmarks/train_step.py                  # print the tables, in less than four minutes on two cores
    python benchmarks/train_step.py --device cuda    # of a GPU, where all our convolutions are Chainer's
    python benchmarks/train_step.py --write          # also put them into docs/benchmarks.md

Two Faster R-CNNs learn the bundled photograph with SGD: torchvision's on a ResNet-50, and the small one that the
bundled detector is, on a ResNet-18 up to layer3. Normalization, conv1 and layer1 are frozen. All sides start from the
same weights and do the same staged step: each stage starts from detached outputs of the one before, and backward
passes hand the gradients over. The sides take turns, Chainer's own convolution in the first round only. With one
thread, in a process of its own and without Chainer's, the time is the processor's, which does not grow when the machine
has other things to do. A limit is what the multiplications of convolutions and linear layers take at the speed of a
matrix product, or the bytes of an update at that of a copy, measured in the same run.
"""

import argparse
import inspect
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import chainfpn  # noqa: F401  # isort: skip
import numpy as np
from chainercv.utils import read_image

from bench_utils import markdown
from bench_utils.machine import Machine, add_device, run_with_environment, tell
from bench_utils.training_step import BBOX, STAGES, Laps, Network, Ours, chainers_convolution
from chainfpn.data import photograph_path
from reference.random_networks import RANDOM_NETWORKS
from reference.torchvision_live import TorchvisionLive, find
from reference.torchvision_train_step import BUILD, MAKE, THEIR_STEP

SIZES = (400, 800)

#: What the table of another number of threads has.
BRIEF = ("trunk forward", "trunk backward", "RPN and box heads", "**all**")

#: For each stage a list of seconds.
Seconds: TypeAlias = Mapping[str, Sequence[float]]

NETWORKS = {
    "fasterrcnn_resnet50_fpn": Network(50, (1, 2, 3, 4), 256, 1024, 20),
    "the small detector": Network(18, (1, 2, 3), 128, 256, 1),
}


THEIRS = "import gc\nimport time\nfrom collections.abc import Callable\n" + inspect.getsource(Laps) + BUILD + THEIR_STEP


def table(mine: Seconds, stock: Seconds | None, theirs: Seconds | None, limits: dict[str, float]) -> list[str]:
    """Make the table of one network at one size.

    Args:
        mine, stock, theirs (dict or None): For each stage a list of seconds; None leaves the column empty.
        limits (dict): For some stages seconds.

    Returns:
        list of str: Lines of Markdown.
    """
    lines = [
        "| stage | chainfpn, s | Chainer's convolution, s | torchvision, s | times as fast as Chainer's "
        "| as torchvision | limit, s |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for stage in (*STAGES, "**all**"):
        ours, others = _median(mine, stage), [_median(side, stage) if side else None for side in (stock, theirs)]
        cells = ["" if s is None else f"{s:.4f}" for s in (ours, *others)]
        cells += ["" if s is None else f"{s / ours:.2f}" for s in others]
        cells.append(f"{limits[stage]:.4f}" if stage in limits else "")
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return lines


def _median(side: Seconds, stage: str) -> float:
    if stage != "**all**":
        return statistics.median(side[stage])
    return statistics.median(map(sum, zip(*(side[name] for name in STAGES), strict=True)))


def by_processor(machine: Machine) -> bool:
    """Return whether the time of the processor is taken: where one thread does everything."""
    return machine.n_threads == 1 and not machine.on_gpu


class Measured(NamedTuple):
    """Seconds of one network at one size by stage, seconds at the limit, and the losses in words."""

    mine: Seconds
    stock: Seconds | None
    theirs: Seconds | None
    limits: dict[str, float]
    losses: str


def measure_one(
    title: str,
    network: Network,
    min_size: int,
    live: TorchvisionLive | None,
    machine: Machine,
    arguments: argparse.Namespace,
) -> Measured:
    """Measure one network at one size."""
    img = read_image(str(photograph_path()))
    processor = by_processor(machine)
    laps = Laps(processor, machine.wait)
    given = {**network._asdict(), "min_size": min_size, "img": img, "bbox": BBOX, "threads": machine.n_threads}
    given |= {"lr": 1e-5, "repeat": arguments.repeat, "processor": processor, "device": machine.device}
    mine: dict[str, list[float]] = {}
    stock: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        if live:
            live.run(RANDOM_NETWORKS + BUILD + MAKE, folder=folder, **given | {"device": "cpu"})
        path = folder / "detector.pth" if live else None
        trained = Ours(network, min_size, path, given["lr"], machine.chainers_device)
        losses = trained.step(lambda stage: None)
        for number in range(arguments.rounds):
            _extend(mine, laps.run(trained.step, arguments.repeat))
            tell(f"chainfpn: {_median(mine, '**all**'):.4f} s a step of {title}")
            if not machine.on_gpu and not arguments.brief and number == 0:
                with chainers_convolution():
                    _extend(stock, laps.run(trained.step, arguments.repeat))
            if live:
                seconds = live.run(THEIRS, folder=folder, **given)
                their_losses = seconds.pop("first step")
                _extend(theirs, seconds)
    limits = trained.limits(machine.operations(), machine.copy_bandwidth())
    words = ", ".join(f"{loss:.3f}" for loss in losses)
    if live:
        words += " and torchvision's " + ", ".join(f"{loss:.3f}" for loss in their_losses)
    return Measured(mine, stock or None, theirs or None, limits, words)


def brief_rows(title: str, mine: Seconds, theirs: Seconds | None) -> list[str]:
    """Make the rows of one network at one size where little is told: lines of Markdown."""
    rows = []
    for stage in BRIEF:
        ours, other = _median(mine, stage), _median(theirs, stage) if theirs else None
        cells = ["", ""] if other is None else [f"{other:.4f}", f"{other / ours:.2f}"]
        rows.append(f"| {title} | {stage} | {ours:.4f} | {' | '.join(cells)} |")
        title = ""
    return rows


def _extend(seconds: dict[str, list[float]], more: Mapping[str, Any]) -> None:
    for stage, values in more.items():
        seconds.setdefault(stage, []).extend(np.asarray(values).tolist())


def measure(arguments: argparse.Namespace) -> str:
    """Measure everything and return the section as Markdown."""
    live = find()
    machine = Machine(arguments.device, arguments.threads[0])
    lines = []
    for name, network in NETWORKS.items():
        for min_size in arguments.size:
            title = f"{name}, {min_size} pixels"
            measured = measure_one(title, network, min_size, live, machine, arguments)
            if arguments.brief:
                lines += brief_rows(title, measured.mine, measured.theirs)
                continue
            words = f"The losses of the first step are {measured.losses}; each side draws its own regions."
            lines += [f"### {title}", "", *table(*measured[:4]), "", words, ""]
    clock = "processor time" if by_processor(machine) else "wall-clock time"
    if arguments.brief:
        threads = "One thread" if machine.n_threads == 1 else f"{machine.n_threads} threads"
        head = [f"### {threads}, {clock}", "", "| network | stage | chainfpn, s | torchvision, s | times as fast |"]
        return "\n".join([*head, "|---|---|--:|--:|--:|", *lines, ""])
    for n_threads in arguments.threads[1:]:
        lines += measure_apart(n_threads, arguments)
    medians = f"{clock}, medians of {arguments.rounds} rounds of {arguments.repeat} steps"
    return "\n".join([*lines, machine.signature(medians, f"matrix product {machine.operations() / 1e9:.0f} GFLOP/s")])


def measure_apart(n_threads: int, arguments: argparse.Namespace) -> list[str]:
    """Measure with another number of threads, by a process of its own: lines of Markdown."""
    options = ["--device", arguments.device, "--repeat", arguments.repeat, "--rounds", arguments.rounds]
    command = [sys.executable, __file__, "--brief", "--threads", n_threads, *options, "--size", *arguments.size]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


def main() -> None:
    """Measure, print, and write if asked to."""
    n_cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=textwrap.dedent(__doc__).splitlines()[0])
    parser.add_argument(
        "--repeat", type=int, default=2, metavar="N", help="timed steps in a row (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="turns of each side (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs="+", default=SIZES, metavar="PIXELS", help="shorter sides (400 800)")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        metavar="N",
        help=f"threads; all but the first in brief (default: {n_cores} 1)",
    )
    parser.add_argument("--brief", action="store_true", help="one table of the largest stages")
    add_device(parser, "where all sides run")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{markdown.BENCHMARKS.name}")
    arguments = parser.parse_args()
    if arguments.threads is None:
        arguments.threads = [n_cores] if arguments.device == "cuda" or n_cores == 1 else [n_cores, 1]
    wanted = {
        name: str(arguments.threads[0]) for name in ("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
    }
    run_with_environment(**wanted)
    section = measure(arguments)
    markdown.show(f"train_step.py {arguments.device}", section, write_too=arguments.write)


if __name__ == "__main__":
    main()
