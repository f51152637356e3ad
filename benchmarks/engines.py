"""Time one detection, and classifiers, on each engine: wall and processor seconds, alone and beside busy processes.

    python benchmarks/engines.py                        # print the tables, a line on stderr for each contender before
    python benchmarks/engines.py --only detectors       # one of the two, or --only classifiers
    python benchmarks/engines.py --write                # also put them into docs/benchmarks.md

Faster R-CNN with a ResNet-50 and a feature pyramid on the bundled photograph at 800 pixels, and ResNet-50 and
MobileNetV3 on batches of 224 pixels; all with the same weights. Each contender runs in a process of its own: with as
many threads as there are cores, quiet and then once beside four processes that do nothing but count; and once with one
thread. Ours are timed by stage in runs of their own. Contenders that are not installed are left out. All of it takes
about two minutes on two cores, and one detection of ChainerCV's, whose RoI operator is Python, as long again.
"""

import argparse
import importlib.util
import inspect
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import chainfpn  # isort: skip
import chainer
import numpy as np
from chainercv.utils import read_image

from bench_utils import markdown
from bench_utils.busy import N_BUSY, busy
from bench_utils.chainercv_detector import chainercv_detector
from bench_utils.machine import Machine, memory, refuse_gpus
from bench_utils.stages import by_stage, table_by_stage
from chainfpn import models
from chainfpn.data import photograph_path
from detect import MAKE
from reference.torchvision_live import find

#: Classifiers, and images a batch.
CLASSIFIERS, BATCHES = ("resnet50", "mobilenet_v3_large"), (1, 8)

MIN_SIZE = 800

#: Reads the photograph, (3, H, W).
photograph = partial(read_image, str(photograph_path()))


def timed(run, repeat, beside):
    """Return wall and processor seconds: medians after one run to warm up, or that run where ``repeat`` is 0.

    ``beside``: also of a run with ``busy``.
    """

    def seconds():
        start = time.perf_counter(), time.process_time()
        run()
        return time.perf_counter() - start[0], time.process_time() - start[1]

    first = seconds()
    wall, cpu = zip(*([seconds() for _ in range(repeat)] or [first]), strict=True)
    found = {"wall": statistics.median(wall), "cpu": statistics.median(cpu)}
    if beside:
        with busy():
            found["busy wall"], found["busy cpu"] = seconds()
    return found


#: Times torchvision; ``channels_last`` is for its convolutions.
THEIRS = (
    "import contextlib, statistics, subprocess, sys, time\nfrom collections.abc import Iterator\n"
    + f"N_BUSY = {N_BUSY}\n{inspect.getsource(busy)}\n{inspect.getsource(timed)}"
    + textwrap.dedent(
        """
    torch.set_num_threads(int(inputs["threads"]))
    name, last = str(inputs["name"]), bool(inputs["channels_last"])
    if name == "detector":
        from torchvision.models.detection import fasterrcnn_resnet50_fpn
        model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=int(inputs["min_size"])).eval()
        model.load_state_dict(torch.load(folder / "detector.pth"))
        dense, x = model.backbone, [torch.from_numpy(inputs["img"] / np.float32(255))]
    else:
        dense = model = getattr(torchvision.models, name)().eval()
        x = torch.from_numpy(inputs["img"])
    if last:
        dense.to(memory_format=torch.channels_last)
        to_last = lambda module, args: (args[0].contiguous(memory_format=torch.channels_last),)
        dense.register_forward_pre_hook(to_last)
    with torch.inference_mode():
        outputs |= timed(lambda: model(x), int(inputs["repeat"]), bool(inputs["beside"]))
    """
    )
)


def detector_of(folder: pathlib.Path) -> Any:
    """Return the detector of the checkpoint in a folder."""
    path = folder / "detector.pth"
    return models.fasterrcnn_resnet50_fpn(pretrained_model=path if path.exists() else None, min_size=MIN_SIZE)


def chainfpn_engine(engine: str, folder: pathlib.Path, threads: int) -> Callable[[], object]:
    """Return the work of one of our engines."""
    return partial(detector_of(folder).to_engine(engine, threads=threads).detect, [photograph()])


def onnxruntime_end_to_end(folder: pathlib.Path, threads: int) -> Callable[[], object]:
    """Return the work of plain ONNX Runtime on the end-to-end file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(exported(folder), options, providers=["CPUExecutionProvider"])
    img = photograph()
    return lambda: session.run(None, {"image": img})


def openvino_end_to_end(folder: pathlib.Path, threads: int) -> Callable[[], object]:
    """Return the work of OpenVINO on the end-to-end file."""
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    model, img = core.compile_model(core.read_model(str(exported(folder))), "CPU", options), photograph()
    return lambda: model(img)


def exported(folder: pathlib.Path) -> pathlib.Path:
    """Return the end-to-end file, which is written the first time."""
    path = folder / "detector.onnx"
    if not path.exists():
        chainfpn.export_onnx(detector_of(folder), path)
    return path


def chainercv(folder: pathlib.Path, threads: int) -> Callable[[], object]:
    """Return the work of ChainerCV's own detector of the same kind."""
    detector = chainercv_detector(detector_of(folder), MIN_SIZE)
    img = photograph()
    return lambda: detector.predict([img])


def classifiers(engine: str, threads: int) -> dict[str, Callable[[], object]]:
    """Return the works of the classifiers on one of our engines, by name and number of images."""
    works = {}
    for name in CLASSIFIERS:
        model = run = models.MODELS[name].builder()
        if engine == "onnx":
            from chainfpn.export.engine import Session
            from chainfpn.export.file import onnx_models

            run = Session(onnx_models(model)["image"].SerializeToString(), threads).run
        works |= {f"{name}, {n}": partial(run, batch(n)) for n in BATCHES}
    return works


def batch(n_image: int) -> Any:
    """Return a batch of images, (B, 3, 224, 224)."""
    return np.random.default_rng(0).standard_normal((n_image, 3, 224, 224), dtype=np.float32)


#: Contender to what makes its work, and the module it needs.
DETECTORS = {
    "chainfpn, engine onnx": (partial(chainfpn_engine, "onnx"), "onnxruntime"),
    "chainfpn, engine chainer": (partial(chainfpn_engine, "chainer"), "numba"),
    "ONNX Runtime on the end-to-end file": (onnxruntime_end_to_end, "onnxruntime"),
    "OpenVINO on the end-to-end file": (openvino_end_to_end, "openvino"),
    "ChainerCV": (chainercv, "chainercv"),
}
#: Contenders whose time the others' are compared with.
PEERS = ("torchvision", "ChainerCV")
#: Engine to the module it needs.
ENGINES = {"onnx": "onnxruntime", "chainer": "numba"}


def worker(name: str, folder: pathlib.Path, threads: int, repeat: int, beside: bool) -> dict[str, Any]:
    """Time a contender, or the classifiers on an engine, in this process."""
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        if name in ENGINES:
            works = classifiers(name, threads)
            return {case: timed(work, repeat, False)["wall"] for case, work in works.items()}
        work = DETECTORS[name][0](folder, threads)
        found = {**timed(work, repeat, beside), "peak": memory("VmHWM")}
        return found | ({"stages": by_stage(work, repeat)} if isinstance(work, partial) and beside else {})


def measured(name: str, folder: pathlib.Path, threads: int, repeat: int, beside: bool = False) -> dict[str, Any]:
    """Time a contender in a process of its own."""
    numbers = [f"{library}_NUM_THREADS" for library in ("OMP", "NUMBA", "OPENBLAS")]
    options = ["--threads", str(threads), "--repeat", str(repeat), *["--beside"] * beside]
    command = [sys.executable, __file__, "--worker", name, str(folder), *options]
    environment = {**os.environ, **dict.fromkeys(numbers, str(threads))}
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def theirs(
    live: Any, folder: pathlib.Path, threads: int, repeat: int, beside: bool = False, **inputs: Any
) -> dict[str, Any]:
    """Time torchvision."""
    inputs |= {"threads": threads, "repeat": repeat, "beside": beside, "min_size": MIN_SIZE}
    return {name: float(value) for name, value in live.run(THEIRS, folder=folder, **inputs).items()}


def measure_detectors(folder: pathlib.Path, live: Any, repeat: int) -> list[str]:
    """Measure the detectors: lines of a table."""
    n, find_spec = len(os.sched_getaffinity(0)), importlib.util.find_spec
    runs = {name: partial(measured, name, folder) for name, (_, module) in DETECTORS.items() if find_spec(module)}
    for last in (False, True) if live else ():
        options = {"name": "detector", "img": photograph(), "channels_last": last}
        runs["torchvision, channels_last" if last else "torchvision"] = partial(theirs, live, folder, **options)
    found = {}
    for name, run in runs.items():
        alone = name == "ChainerCV"
        found[name] = run(threads=n, repeat=0 if alone else repeat, beside=not alone)
        found[name]["one"] = None if alone else run(threads=1, repeat=1)["wall"]
        print(f"{name}: {found[name]}", file=sys.stderr)
    bases = [found.get(peer, {}).get("wall") for peer in PEERS]
    heads = f"{n} threads, s", "1 thread, s", *[f"times {peer}" for peer in PEERS], "processor s"
    beside = f"beside {N_BUSY} busy processes: s", "processor s", "peak, MB"
    lines = [f"| {' | '.join(('detector', *heads, *beside))} |", "|---" + "|--:" * 8 + "|"]
    for name, seconds in found.items():
        cells = [seconds["wall"], seconds["one"], *[base and base / seconds["wall"] for base in bases]]
        cells += [seconds["cpu"], seconds.get("busy wall"), seconds.get("busy cpu")]
        peak = f"{seconds['peak']:.0f}" if "peak" in seconds else ""
        lines.append(f"| {name} | {' | '.join('' if c is None else f'{c:.2f}' for c in cells)} | {peak} |")
    return lines + table_by_stage({name: each["stages"] for name, each in found.items() if "stages" in each}, n)


def measure_classifiers(folder: pathlib.Path, live: Any, repeat: int) -> list[str]:
    """Measure the classifiers: lines of a table."""
    n = len(os.sched_getaffinity(0))
    known = (engine for engine, module in ENGINES.items() if importlib.util.find_spec(module))
    columns = {engine: measured(engine, folder, n, repeat) for engine in known}
    print(f"classifiers: {columns}", file=sys.stderr)
    lines = [
        f"| batch, {n} threads | engine onnx, ms | chainer, ms | torchvision, ms | onnx, times torchvision |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, n_image in itertools.product(CLASSIFIERS, BATCHES):
        case = f"{name}, {n_image}"
        onnx, own = (columns.get(engine, {}).get(case) for engine in ENGINES)
        options = {"name": name, "img": batch(n_image), "channels_last": False}
        other = theirs(live, folder, n, repeat, **options)["wall"] if live else None
        cells = ["" if seconds is None else f"{1000 * seconds:.1f}" for seconds in (onnx, own, other)]
        cells.append(f"{other / onnx:.2f}" if other and onnx else "")
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return lines


def measure(only: str | None, repeat: int) -> str:
    """Measure everything, or one of the two tables, and return the section as Markdown."""
    machine, live = Machine(), find()
    tables = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        if only != "classifiers":
            if live is not None:
                live.run(MAKE, folder=folder, img=photograph(), min_size=MIN_SIZE)
            if importlib.util.find_spec("onnx"):
                exported(folder)
            tables += [*measure_detectors(folder, live, repeat), ""]
        if only != "detectors":
            tables += [*measure_classifiers(folder, live, repeat), ""]
    about = f"medians of {repeat} runs after one to warm up; with one thread and beside others one run; "
    about += "of ChainerCV one run, its first"
    return "\n".join([*tables, machine.signature(about)])


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="timed runs of each (default: %(default)s)")
    parser.add_argument("--only", choices=["detectors", "classifiers"], help="measure one of the two tables")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{markdown.BENCHMARKS.name}")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--beside", action="store_true", help=argparse.SUPPRESS)
    refuse_gpus(parser, "these engines are a CPU's; benchmarks/detect.py and speeds.py run the engine chainer on a GPU")
    arguments = parser.parse_args()
    if arguments.worker:
        name, folder = arguments.worker
        found = worker(name, pathlib.Path(folder), arguments.threads, arguments.repeat, arguments.beside)
        print(json.dumps(found))
        return
    if arguments.write and arguments.only:
        parser.error("--write: the page has both tables; leave --only out")
    section = measure(arguments.only, arguments.repeat)
    markdown.show("engines.py", section, write_too=arguments.write)


if __name__ == "__main__":
    main()
