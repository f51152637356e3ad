"""Time the RoI ops and NMS against torchvision, Chainer's own and what the machine can do.

    python benchmarks/roi_ops.py                  # on the CPU: print the tables
    python benchmarks/roi_ops.py --device cuda    # on a GPU
    python benchmarks/roi_ops.py --write          # also put the tables into docs/benchmarks.md

1000 RoIs with sides from 16 to 512 pixels (log-uniform) on one map of 256 x 200 x 272 at scale 1/4, 490 channels for
the position-sensitive ops; float32; two threads on a CPU. torchvision runs in whichever interpreter has it, just before
ours. Chainer's and ChainerCV's own ops are timed on the CPU on 4 RoIs, scaled to 1000.

The limit of a row is the time to read its inputs and write its results once at the bandwidth of a copy, plus the time
of its additions and multiplications at the speed of a matrix product, both measured in the same run; that of NMS is the
sort of the scores. On a GPU, times lie between two events, and four maps take turns, which no cache holds.
"""

import argparse
import os
import textwrap
from typing import Any, TypeAlias
from unittest import mock

os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import chainfpn  # noqa: F401  # isort: skip
import numpy as np
from chainercv import utils as chainercv_utils

from bench_utils import markdown
from bench_utils.machine import TORCHS_CLOCK, Machine, add_device, tell
from bench_utils.roi_workload import (
    MAP,
    N_FEW,
    N_MAPS,
    N_ROIS,
    OPS,
    SCALE,
    chainers_runs,
    count_work,
    make_boxes,
    make_rois,
    our_runs,
)
from chainfpn import boxes
from chainfpn._typing import Array
from reference.torchvision_live import find

#: What a row of a table is made of.
Row: TypeAlias = dict[str, Any]

NMS_SIZES = (1000, 10_000, 100_000)
NMS_THRESH = 0.7

#: Times torchvision: all ops, then NMS.
TORCHVISION = """
    import itertools

    boxes = torch.tensor(inputs["boxes"], device=device)
    repeat, n_maps = (2, 1) if device == "cpu" else (20, {n_maps!r})
    for k, (name, bins, channels, options) in enumerate({ops!r}):
        turns = itertools.cycle(torch.randn(n_maps, 1, channels, *{map!r}, device=device))
        op = getattr(torchvision.ops, name)

        def forward():
            with torch.no_grad():
                op(next(turns), boxes, (bins, bins), spatial_scale={scale!r}, **options)

        def both():
            leaf = next(turns).detach().requires_grad_()
            op(leaf, boxes, (bins, bins), spatial_scale={scale!r}, **options).backward(gradient)

        outputs[f"forward_{{k}}"] = best(forward, repeat)
        gradient = torch.ones_like(op(next(turns), boxes, (bins, bins), spatial_scale={scale!r}, **options))
        outputs[f"both_{{k}}"] = best(both, repeat)
    for n in {sizes!r}:
        bbox, score = (torch.tensor(inputs[f"{{what}}_{{n}}"], device=device) for what in ("bbox", "score"))
        outputs[f"nms_{{n}}"] = best(lambda: torchvision.ops.nms(bbox, score, {thresh!r}), 1 if n > 50_000 else repeat)
"""


def measure(machine: Machine) -> tuple[list[Row], list[Row], str]:
    """Run everything; return the rows of the two tables and a line about the machine."""
    rois = make_rois(N_ROIS)
    bandwidth, speed = machine.copy_bandwidth(), machine.operations()
    theirs = time_torchvision(machine, rois)
    rows = []
    for k, (name, bins, channels, options) in enumerate(OPS):
        runs = our_runs(machine, name, bins, channels, options, rois)
        own = None if machine.on_gpu else chainers_runs(name, bins, channels, options, rois[:N_FEW])
        moved, operations = count_work(name, bins, channels, options, rois)
        title = f"{name}, {bins}x{bins}{describe(options)}"
        for which, run, passes in (("forward", runs[0], 1), ("both", runs[1], 2)):
            ours = machine.best(run)
            other = theirs.get(f"{which}_{k}")
            beside = f", torchvision {milliseconds(other)}" if other else ""
            tell(f"{title}, {which}: {milliseconds(ours)} ms{beside}")
            limit = passes * (moved / bandwidth + operations / speed)
            rows.append(
                {
                    "op": title,
                    "pass": "forward" if which == "forward" else "and backward",
                    "ours": ours,
                    "torchvision": other,
                    "own": own and machine.best(own[passes - 1], 1) * N_ROIS / N_FEW,
                    "limit": limit,
                    "bandwidth": passes * moved / ours / bandwidth,
                }
            )
    nms_rows = [measure_nms(machine, n, theirs.get(f"nms_{n}")) for n in NMS_SIZES]
    about = f"a copy moves {bandwidth / 1e9:.0f} GB/s, a matrix product does {speed / 1e9:.0f} GFLOP/s"
    return rows, nms_rows, machine.signature(about)


def without_patches(machine: Machine, rois: Array) -> str:
    """Return a sentence on what roi_align takes on a GPU if it reads no RoI from shared memory."""
    from chainfpn.functions.kernels import cuda_align

    room_of_patches, found = cuda_align.room_of_patches, []
    with mock.patch.object(cuda_align, "room_of_patches", lambda x, itemsize: (room_of_patches(x, itemsize)[0], 0)):
        for name, bins, channels, options in OPS:
            if name == "roi_align":
                runs = our_runs(machine, name, bins, channels, options, rois)
                times = " and ".join(milliseconds(machine.best(run)) for run in runs)
                found.append(f"{times} ({bins}x{bins}{describe(options)})")
    return f"Without patches in shared memory roi_align takes, forward and with backward, ms: {'; '.join(found)}."


def describe(options: dict[str, int]) -> str:
    """Return how a row samples."""
    if "sampling_ratio" not in options:
        return ""
    return f", sampling {options['sampling_ratio'] or 'adaptive'}"


def measure_nms(machine: Machine, n: int, torchvision: float | None) -> Row:
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


def time_torchvision(machine: Machine, rois: Array) -> dict[str, float]:
    """Return torchvision's seconds by row; empty without an interpreter that has it."""
    live = find()
    if live is None:
        return {}
    arrays = {"device": np.array(machine.device)}
    arrays["boxes"] = np.concatenate([np.zeros((len(rois), 1)), rois[:, [1, 0, 3, 2]]], axis=1).astype(np.float32)
    for n in NMS_SIZES:
        bbox, arrays[f"score_{n}"] = make_boxes(n)
        arrays[f"bbox_{n}"] = bbox[:, [1, 0, 3, 2]]
    code = TORCHVISION.format(ops=OPS, n_maps=N_MAPS, map=MAP, scale=SCALE, sizes=NMS_SIZES, thresh=NMS_THRESH)
    return {name: float(value) for name, value in live.run(TORCHS_CLOCK + textwrap.dedent(code), **arrays).items()}


def table(rows: list[Row], on_gpu: bool) -> str:
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


def milliseconds(seconds: float | None) -> str:
    """Return three digits, or nothing."""
    return "" if seconds is None else f"{1000 * seconds:,.0f}" if seconds > 0.1 else f"{1000 * seconds:.3g}"


def ratio(theirs: float | None, ours: float) -> str:
    """Return two digits, or nothing."""
    if theirs is None:
        return ""
    return f"{theirs / ours:,.0f}" if theirs > 10 * ours else f"{theirs / ours:.1f}"


def main() -> None:
    """Measure, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device(parser, "where our ops run")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    machine = Machine(arguments.device, int(os.environ["NUMBA_NUM_THREADS"]))
    rows, nms_rows, about = measure(machine)
    tables = [table(part, machine.on_gpu) for part in (rows, nms_rows)]
    patches = f"\n\n{without_patches(machine, make_rois(N_ROIS))}" if machine.on_gpu else ""
    text = f"{tables[0]}{patches}\n\nNon-maximum suppression at IoU {NMS_THRESH}:\n\n{tables[1]}\n\n{about}"
    markdown.show(f"roi_ops.py {arguments.device}", text, write_too=arguments.write)


if __name__ == "__main__":
    main()
