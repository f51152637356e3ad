"""Time the RoI ops and NMS against torchvision, Chainer's own and what the machine can do.

    python benchmarks/roi_ops.py                  # on the CPU: print the tables
    python benchmarks/roi_ops.py --device cuda    # on a GPU
    python benchmarks/roi_ops.py --write          # also put the tables into docs/benchmarks.md

1000 RoIs with sides from 16 to 512 pixels (log-uniform) on one map of 256 x 200 x 272 at scale 1/4, 490 channels for
the position-sensitive ops; float32; two threads on a CPU. torchvision runs in whichever interpreter has it, just before
ours. Chainer's and ChainerCV's own ops are timed on the CPU on 4 RoIs, scaled to 1000.

The limit of a row is the time to read its inputs and write its results once at the bandwidth of a copy, plus the time
of its additions and multiplications at the speed of a matrix product, both measured in the same run; that of NMS is the
sort of the scores.
"""

import argparse
import os
import pathlib
import sys

os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import chainfpn  # noqa: F401  # isort: skip
import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda
from chainercv import functions as chainercv_functions
from chainercv import utils as chainercv_utils

from chainfpn import boxes, functions
from measuring import page
from measuring.machine import Machine

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from reference.torchvision_live import find  # noqa: E402

N_ROIS = 1000
MAP = (200, 272)
SCALE = 1 / 4
N_FEW = 4

#: (name, bins per side, channels, options), as torchvision names them.
OPS = (
    ("roi_align", 7, 256, {"sampling_ratio": 2}),
    ("roi_align", 7, 256, {"sampling_ratio": 0}),
    ("roi_align", 14, 256, {"sampling_ratio": 2}),
    ("roi_pool", 7, 256, {}),
    ("ps_roi_align", 7, 490, {"sampling_ratio": 2}),
    ("ps_roi_align", 7, 490, {"sampling_ratio": 0}),
    ("ps_roi_pool", 7, 490, {}),
)

NMS_SIZES = (1000, 10_000, 100_000)
NMS_THRESH = 0.7

#: Times torchvision: all ops, then NMS.
TORCHVISION = """
    import time

    device = str(inputs["device"])

    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    def best(run, repeat):
        seconds = []
        for _ in range(repeat):
            wait()
            start = time.perf_counter()
            run()
            wait()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    boxes = torch.tensor(inputs["boxes"], device=device)
    repeat = 2 if device == "cpu" else 20
    for k, (name, bins, channels, options) in enumerate({ops!r}):
        x = torch.randn(1, channels, *{map!r}, device=device)
        op = getattr(torchvision.ops, name)

        def forward():
            with torch.no_grad():
                op(x, boxes, (bins, bins), spatial_scale={scale!r}, **options)

        def both():
            leaf = x.detach().requires_grad_()
            y = op(leaf, boxes, (bins, bins), spatial_scale={scale!r}, **options)
            y.backward(torch.ones_like(y))

        outputs[f"forward_{{k}}"] = best(forward, repeat)
        outputs[f"both_{{k}}"] = best(both, repeat)
    for n in {sizes!r}:
        bbox, score = (torch.tensor(inputs[f"{{what}}_{{n}}"], device=device) for what in ("bbox", "score"))
        outputs[f"nms_{{n}}"] = best(lambda: torchvision.ops.nms(bbox, score, {thresh!r}), 1 if n > 50_000 else repeat)
"""


def make_rois(n):
    """RoIs of all sizes within the image, yxyx."""
    rng = np.random.RandomState(0)
    sides = np.exp(rng.uniform(np.log(16), np.log(512), (n, 2)))
    image = np.array(MAP) / SCALE
    centres = rng.uniform(0, 1, (n, 2)) * image
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    return np.clip(corners, 0, np.tile(image, 2)).astype(np.float32)


def make_boxes(n):
    """Boxes in heaps, as a detector proposes them, and scores; the image grows with their number."""
    rng = np.random.RandomState(0)
    image = 40 * np.sqrt(n)
    centres = rng.uniform(0, image, (n // 10, 2)).repeat(10, axis=0) + rng.normal(0, 6, (n, 2))
    sides = np.exp(rng.uniform(np.log(20), np.log(200), (n // 10, 2))).repeat(10, axis=0) * rng.uniform(
        0.8, 1.2, (n, 2)
    )
    bbox = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    return bbox.astype(np.float32), rng.uniform(0, 1, n).astype(np.float32)


def our_runs(machine, name, bins, channels, options, rois):
    """Return functions that run forward, and forward and backward; and the map."""
    xp = machine.xp
    x = xp.asarray(np.random.RandomState(0).standard_normal((1, channels, *MAP)).astype(np.float32))
    rois, images = xp.asarray(rois), xp.zeros(len(rois), np.int32)
    op = getattr(functions, name)

    def forward():
        with chainer.no_backprop_mode():
            return op(x, rois, images, bins, SCALE, **options)

    def both():
        variable = chainer.Variable(x)
        y = op(variable, rois, images, bins, SCALE, **options)
        y.grad = xp.ones_like(y.array)
        y.backward()

    return forward, both


def chainers_runs(name, bins, channels, options, rois):
    """Return the same for Chainer's or ChainerCV's own op on a few RoIs, or None where they have none."""
    x = np.random.RandomState(0).standard_normal((1, channels, *MAP)).astype(np.float32)
    images = np.zeros(len(rois), np.int32)
    ratio = options.get("sampling_ratio") or None
    own = {
        "roi_align": lambda x: F.roi_average_align_2d(x, rois, images, bins, SCALE, ratio),
        "roi_pool": lambda x: F.roi_max_pooling_2d(x, rois, images, bins, SCALE),
        "ps_roi_align": lambda x: chainercv_functions.ps_roi_average_align_2d(
            x, rois, images, (channels // bins**2, bins, bins), SCALE, bins, ratio
        ),
        "ps_roi_pool": lambda x: chainercv_functions.ps_roi_average_pooling_2d(
            x, rois, images, (channels // bins**2, bins, bins), SCALE, bins
        ),
    }[name]

    def forward():
        with chainer.no_backprop_mode():
            own(x)

    def both():
        variable = chainer.Variable(x)
        y = own(variable)
        y.grad = np.ones_like(y.array)
        y.backward()

    return forward, both


def count_work(name, bins, channels, options, rois):
    """Return the bytes a pass must move, and the operations it must do: multiply-adds count two."""
    per_bin = channels if name.startswith("roi") else channels // bins**2
    moved = 4 * (channels * MAP[0] * MAP[1] + len(rois) * per_bin * bins**2)
    sides = np.maximum((rois[:, 2:] - rois[:, :2]) * SCALE, 1) / bins  # feature pixels of a bin
    if "sampling_ratio" in options:
        samples = options["sampling_ratio"] or np.ceil(sides)
        pixels = np.minimum(2 * samples, sides + 1).clip(2).prod(axis=1) * 2
    else:
        pixels = (sides + 1).prod(axis=1)
    return moved, pixels.sum() * bins**2 * per_bin


def measure(machine):
    """Run everything; return the rows of the two tables and a line about the machine."""
    rois = make_rois(N_ROIS)
    bandwidth, speed = machine.copy_bandwidth(), machine.operations()
    theirs = time_torchvision(machine, rois)
    rows = []
    for k, (name, bins, channels, options) in enumerate(OPS):
        runs = our_runs(machine, name, bins, channels, options, rois)
        own = None if machine.on_gpu else chainers_runs(name, bins, channels, options, rois[:N_FEW])
        moved, operations = count_work(name, bins, channels, options, rois)
        for which, run, passes in (("forward", runs[0], 1), ("both", runs[1], 2)):
            ours = machine.best(run)
            limit = passes * (moved / bandwidth + operations / speed)
            rows.append(
                {
                    "op": f"{name}, {bins}x{bins}" + describe(options),
                    "pass": "forward" if which == "forward" else "and backward",
                    "ours": ours,
                    "torchvision": theirs.get(f"{which}_{k}"),
                    "own": own and machine.best(own[passes - 1], 1) * N_ROIS / N_FEW,
                    "limit": limit,
                    "bandwidth": passes * moved / ours / bandwidth,
                }
            )
    nms_rows = [measure_nms(machine, n, theirs.get(f"nms_{n}")) for n in NMS_SIZES]
    about = (
        f"{machine.name()}; a copy moves {bandwidth / 1e9:.0f} GB/s, a matrix product does {speed / 1e9:.0f} GFLOP/s"
    )
    return rows, nms_rows, about


def describe(options):
    """Say how a row samples."""
    if "sampling_ratio" not in options:
        return ""
    return f", sampling {options['sampling_ratio'] or 'adaptive'}"


def measure_nms(machine, n, torchvision):
    """Time NMS on n boxes."""
    bbox, score = map(machine.xp.asarray, make_boxes(n))
    own = None
    if not machine.on_gpu and n <= 10_000:
        own = machine.best(lambda: chainercv_utils.non_maximum_suppression(bbox, NMS_THRESH, score), 1)
    return {
        "op": f"{n:,} boxes, {len(boxes.nms(bbox, NMS_THRESH, score)):,} kept",
        "pass": "",
        "ours": machine.best(lambda: boxes.nms(bbox, NMS_THRESH, score), 3),
        "torchvision": torchvision,
        "own": own,
        "limit": machine.best(lambda: machine.xp.argsort(score)),
        "bandwidth": None,
    }


def time_torchvision(machine, rois):
    """Return torchvision's seconds by row; empty without an interpreter that has it."""
    live = find()
    if live is None:
        return {}
    arrays = {"device": np.array(machine.device)}
    arrays["boxes"] = np.concatenate([np.zeros((len(rois), 1)), rois[:, [1, 0, 3, 2]]], axis=1).astype(np.float32)
    for n in NMS_SIZES:
        bbox, arrays[f"score_{n}"] = make_boxes(n)
        arrays[f"bbox_{n}"] = bbox[:, [1, 0, 3, 2]]
    code = TORCHVISION.format(ops=OPS, map=MAP, scale=SCALE, sizes=NMS_SIZES, thresh=NMS_THRESH)
    return {name: float(value) for name, value in live.run(code, **arrays).items()}


def table(rows, on_gpu):
    """Lay rows out as Markdown."""
    heads = ["op", "pass", "chainfpn, ms", "torchvision, ms", "times as fast"]
    heads += ["of copy bandwidth"] if on_gpu else ["than Chainer's own", "limit, ms", "times the limit"]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "--:|" * (len(heads) - 2)]
    for row in rows:
        cells = [row["op"], row["pass"], milliseconds(row["ours"]), milliseconds(row["torchvision"])]
        cells.append(ratio(row["torchvision"], row["ours"]))
        if on_gpu:
            cells.append("" if row["bandwidth"] is None else f"{row['bandwidth']:.0%}")
        else:
            cells += [ratio(row["own"], row["ours"]), milliseconds(row["limit"]), f"{row['ours'] / row['limit']:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def milliseconds(seconds):
    """Three digits, or nothing."""
    return "" if seconds is None else f"{1000 * seconds:,.0f}" if seconds > 0.1 else f"{1000 * seconds:.3g}"


def ratio(theirs, ours):
    """Two digits, or nothing."""
    if theirs is None:
        return ""
    return f"{theirs / ours:,.0f}" if theirs > 10 * ours else f"{theirs / ours:.1f}"


def main():
    """Measure, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where our ops run")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not cuda.available:
        parser.error("--device cuda: Chainer sees no CUDA device")
    machine = Machine(arguments.device, int(os.environ["NUMBA_NUM_THREADS"]))
    rows, nms_rows, about = measure(machine)
    tables = [table(part, machine.on_gpu) for part in (rows, nms_rows)]
    text = f"{about}.\n\n{tables[0]}\n\nNon-maximum suppression at IoU {NMS_THRESH}:\n\n{tables[1]}"
    print(text)
    if arguments.write:
        page.write(f"roi_ops.py {arguments.device}", text)


if __name__ == "__main__":
    main()
