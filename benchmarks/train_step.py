"""Time one training step, stage by stage, against torchvision and against Chainer's own convolution.

    python benchmarks/train_step.py                  # print the tables
    python benchmarks/train_step.py --device cuda    # of a GPU, where all our convolutions are Chainer's
    python benchmarks/train_step.py --write          # also put them into docs/benchmarks.md

Two Faster R-CNNs learn the bundled photograph with SGD: torchvision's on a ResNet-50, and the small one that the
bundled detector is, on a ResNet-18 up to layer3. Normalization, conv1 and layer1 are frozen. All sides start from the
same weights and do the same staged step: each stage starts from detached outputs of the one before, and backward
passes hand the gradients over. The sides take turns. With one thread, the time is the processor's, which does not grow
when the machine has other things to do. A limit is what the multiplications of convolutions and linear layers take at
the speed of a matrix product, or the bytes of an update at that of a copy, measured in the same run.
"""

import argparse
import contextlib
import gc
import inspect
import os
import pathlib
import statistics
import sys
import tempfile
import textwrap
import time
from typing import NamedTuple
from unittest import mock

import chainfpn  # noqa: F401  # isort: skip
import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer.backends import cuda
from chainercv.utils import read_image

from chainfpn import links, models
from chainfpn.data import photograph_path
from chainfpn.training import freeze_backbone, train_chain
from chainfpn.training.roi_loss import roi_losses, sample_proposals
from chainfpn.training.rpn_loss import rpn_losses, sample_anchors
from measuring import page
from measuring.machine import Machine
from measuring.work import Work

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from reference.random_networks import RANDOM_NETWORKS  # noqa: E402
from reference.torchvision_live import find  # noqa: E402
from reference.torchvision_train_step import BUILD, MAKE, THEIR_STEP  # noqa: E402

SIZES = (400, 800)

#: The person in the bundled photograph, yxyx.
BBOX = np.array([[14, 74, 510, 379]], np.float32)

#: Stages of a step, in order.
STAGES = (
    "prepare",
    "trunk forward",
    "trunk backward",
    "RPN and box heads",
    "proposals",
    "targets",
    "RoI ops",
    "losses",
    "update",
)


class Network(NamedTuple):
    """A Faster R-CNN that both sides can build."""

    depth: int
    stages: tuple
    fpn_channels: int
    head_channels: int
    n_fg_class: int


NETWORKS = {
    "fasterrcnn_resnet50_fpn": Network(50, (1, 2, 3, 4), 256, 1024, 20),
    "the small detector": Network(18, (1, 2, 3), 128, 256, 1),
}


class Laps:
    """Adds up the time of the stages of a step; each lap counts from the one before.

    Args:
        processor (bool): Take the time of this thread's processor instead of the clock on the wall.
        wait (callable): Waits for the device.
    """

    def __init__(self, processor, wait):
        self.clock = time.thread_time if processor else time.perf_counter
        self.wait = wait
        self.reset()

    def reset(self):
        """Start anew."""
        self.seconds = {}
        self.last = self.clock()

    def lap(self, stage):
        """Let the time since the last lap count for a stage."""
        self.wait()
        now = self.clock()
        self.seconds[stage] = self.seconds.get(stage, 0) + now - self.last
        self.last = now

    def run(self, step, repeat):
        """Run a step once to warm up, then time it: a list of seconds for each stage.

        Garbage is collected between the steps, not in the middle of any stage.
        """
        step(self.lap)
        runs = []
        for _ in range(repeat):
            gc.collect()
            gc.disable()
            self.reset()
            step(self.lap)
            gc.enable()
            runs.append(self.seconds)
        return {stage: [run[stage] for run in runs] for stage in runs[0]}


THEIRS = "import gc\nimport time\n" + inspect.getsource(Laps) + BUILD + THEIR_STEP


class Ours:
    """Our detector in training.

    Args:
        network (Network): What to build.
        min_size (int): Shorter side of the image in the network.
        path (path or None): The checkpoint.
        lr (float): Learning rate of SGD.
        device (str): Chainer's name of where it is.
    """

    def __init__(self, network, min_size, path, lr, device="@numpy"):
        options = network._asdict()
        self.model = models.fasterrcnn_resnet_fpn(pretrained_model=path, min_size=min_size, norm_eps=1e-5, **options)
        self.chain = train_chain(self.model)
        self.chain.to_device(device)
        self.optimizer = chainer.optimizers.MomentumSGD(lr=lr, momentum=0.9).setup(self.chain)
        self.optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(1e-4))
        freeze_backbone(self.model, 3)
        self.chain.cleargrads()
        self.img = read_image(str(photograph_path()))

    def step(self, lap):
        """Do the staged step; return the losses in torchvision's order."""
        rpn, heads, chain = self.model.rpn, self.model.roi_heads, self.chain
        x, sizes, bboxes, outputs = chain.batch([self.img], [BBOX], [np.zeros(1, np.int32)])
        lap("prepare")
        maps = self.model.backbone(x)
        lap("trunk forward")
        leaves = _cut(maps)
        logits, deltas = rpn.head(leaves)
        lap("RPN and box heads")
        anchors = rpn.anchors(leaves, x.shape[2:])
        proposals = rpn.propose(logits, deltas, anchors, sizes)
        lap("proposals")
        outs, out_leaves = [*logits, *deltas], _cut([*logits, *deltas])
        n = len(logits)
        drawn = sample_anchors(anchors, bboxes, rpn.box_coder, **chain.rpn_options)
        lap("targets")
        losses = rpn_losses(out_leaves[:n], out_leaves[n:], drawn)
        F.add(*losses.values()).backward()
        lap("losses")
        chainer.backward(outs, [leaf.grad_var for leaf in out_leaves])
        lap("RPN and box heads")
        regions = sample_proposals(proposals, bboxes, outputs, heads.box_coder, **chain.roi_options)
        lap("targets")
        pooled = heads._pool(self.model.roi_levels(leaves), [r.bbox for r in regions], sizes, heads.outsize)
        lap("RoI ops")
        (pooled_leaf,) = _cut([pooled])
        predicted = heads.box_predictor(heads.box_head(pooled_leaf))
        lap("RPN and box heads")
        predicted_leaves = _cut(predicted)
        losses |= (of_regions := roi_losses(*predicted_leaves, regions))
        F.add(*of_regions.values()).backward()
        lap("losses")
        chainer.backward(list(predicted), [leaf.grad_var for leaf in predicted_leaves])
        lap("RPN and box heads")
        chainer.backward([pooled], [pooled_leaf.grad_var])
        lap("RoI ops")
        chainer.backward(list(maps), [leaf.grad_var for leaf in leaves])
        lap("trunk backward")
        self.optimizer.update()
        self.chain.cleargrads()
        lap("update")
        return [float(losses[name].array) for name in ("rpn_objectness", "rpn_box", "roi_class", "roi_box")]

    def limits(self, speed, bandwidth):
        """Say how long each stage would take at the speed of a matrix product or of a copy."""
        x, *_ = self.chain.batch([self.img], [BBOX], [np.zeros(1, np.int32)])
        with Work() as work:
            self.model.backbone(x)
        n_bytes = 20 * sum(param.size for param in self.chain.params() if param.requires_grad)
        return {
            "trunk forward": work.forward / speed,
            "trunk backward": work.backward / speed,
            "update": n_bytes / bandwidth,  # parameter, gradient and velocity read, two of them written
        }


def _cut(variables):
    return [chainer.Variable(variable.array) for variable in variables]


@contextlib.contextmanager
def chainers_convolution():
    """Have all our convolutions computed by Chainer."""
    with mock.patch.object(links.Convolution2D, "forward", L.Convolution2D.forward):
        yield


def table(mine, stock, theirs, limits):
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
        seconds = [None if side is None else _median(side, stage) for side in (mine, stock, theirs)]
        cells = ["" if s is None else f"{s:.4f}" for s in seconds]
        cells += ["" if s is None else f"{s / seconds[0]:.2f}" for s in seconds[1:]]
        cells.append(f"{limits[stage]:.4f}" if stage in limits else "")
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return lines


def _median(side, stage):
    if stage != "**all**":
        return statistics.median(side[stage])
    return statistics.median(map(sum, zip(*(side[name] for name in STAGES), strict=True)))


def by_processor(machine):
    """Tell whether the time of the processor is taken: where one thread does everything."""
    return machine.n_threads == 1 and not machine.on_gpu


def measure_one(network, min_size, live, machine, arguments):
    """Measure one network at one size: Markdown lines."""
    img = read_image(str(photograph_path()))
    processor = by_processor(machine)
    laps = Laps(processor, machine.wait)
    given = {**network._asdict(), "min_size": min_size, "img": img, "bbox": BBOX, "threads": machine.n_threads}
    given |= {"lr": 1e-5, "repeat": arguments.repeat, "processor": processor}
    given |= {"device": machine.device}
    sides = [{}, None if machine.on_gpu else {}, {} if live else None]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if live:
            live.run(RANDOM_NETWORKS + BUILD + MAKE, folder=folder, **given | {"device": "cpu"})
        path = folder / "detector.pth" if live else None
        trained = Ours(network, min_size, path, given["lr"], machine.chainers_device)
        losses = trained.step(lambda stage: None)
        for _ in range(arguments.rounds):
            _extend(sides[0], laps.run(trained.step, arguments.repeat))
            if sides[1] is not None:
                with chainers_convolution():
                    _extend(sides[1], laps.run(trained.step, arguments.repeat))
            if live:
                seconds = live.run(THEIRS, folder=folder, **given)
                their_losses = seconds.pop("first step")
                _extend(sides[2], seconds)
    limits = trained.limits(machine.operations(), machine.copy_bandwidth())
    lines = table(*sides, limits)
    words = ", ".join(f"{loss:.3f}" for loss in losses)
    if live:
        words += " and torchvision's " + ", ".join(f"{loss:.3f}" for loss in their_losses)
    return [*lines, "", f"The losses of the first step are {words}; each side draws its own regions."]


def _extend(seconds, more):
    for stage, values in more.items():
        seconds.setdefault(stage, []).extend(np.asarray(values).tolist())


def measure(arguments):
    """Measure everything and return the section as Markdown."""
    live = find()
    load = os.getloadavg()[0]
    machine = Machine(arguments.device, arguments.threads)
    lines = []
    for name, network in NETWORKS.items():
        for min_size in arguments.size:
            lines += [f"### {name}, {min_size} pixels", ""]
            lines += [*measure_one(network, min_size, live, machine, arguments), ""]
    clock = "processor time" if by_processor(machine) else "wall-clock time"
    return "\n".join(
        [
            *lines,
            f"{machine.name()}; {clock}, medians of {arguments.rounds} rounds of {arguments.repeat} steps; matrix "
            f"product {machine.operations() / 1e9:.0f} GFLOP/s; load average before the run {load:.1f}.",
        ]
    )


def main():
    """Measure, print, and write if asked to."""
    n_cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=textwrap.dedent(__doc__).splitlines()[0])
    parser.add_argument(
        "--repeat", type=int, default=3, metavar="N", help="timed steps in a row (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="turns of each side (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs="+", default=SIZES, metavar="PIXELS", help="shorter sides (400 800)")
    parser.add_argument("--threads", type=int, default=n_cores, metavar="N", help="threads (default: %(default)s)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where all sides run")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{page.BENCHMARKS.name}")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not cuda.available:
        parser.error("--device cuda: Chainer sees no CUDA device")
    wanted = {name: str(arguments.threads) for name in ("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS")}
    if any(os.environ.get(name) != value for name, value in wanted.items()):  # they are read when NumPy is imported
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})
    section = measure(arguments)
    print(section)
    if arguments.write:
        page.write(f"train_step.py {arguments.device}", section)


if __name__ == "__main__":
    main()
