"""Time one detection, and classifiers, on each engine: wall and processor seconds, alone and beside busy processes.

    python benchmarks/engines.py               # print the tables
    python benchmarks/engines.py --write       # also put them into docs/benchmarks.md

Faster R-CNN with a ResNet-50 and a feature pyramid on the bundled photograph at 800 pixels, and ResNet-50 and
MobileNetV3 on batches of 224 pixels; all but ChainerCV with the same weights. Each contender runs in a process of its
own, first with as many threads as there are cores, then with one; then beside four processes that do nothing but count.
Contenders that are not installed are left out.
"""

import argparse
import importlib.util
import inspect
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from typing import Any

import chainfpn  # isort: skip
import chainer
import numpy as np
from chainercv.utils import read_image

from bench_utils import markdown
from bench_utils.busy import N_BUSY, busy
from bench_utils.machine import Machine
from chainfpn import models
from chainfpn.data import photograph_path
from detect import MAKE
from reference.torchvision_live import find

#: Classifiers, and images a batch.
CLASSIFIERS, BATCHES = ("resnet50", "mobilenet_v3_large"), (1, 8)

MIN_SIZE = 800


def timed(run, repeat):
    """Return the wall and the processor seconds of several runs, after one to warm up."""
    run()
    wall, cpu = [], []
    for _ in range(repeat):
        start = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return wall, cpu


#: Times torchvision; ``channels_last`` is for its convolutions.
THEIRS = (
    "import time\n"
    + inspect.getsource(timed)
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
        outputs["wall"], outputs["cpu"] = map(np.array, timed(lambda: model(x), int(inputs["repeat"])))
    """
    )
)


def photograph() -> Any:
    """Return the photograph, (3, H, W)."""
    return read_image(str(photograph_path()))


def detector_of(folder: pathlib.Path) -> Any:
    """Return the detector of the checkpoint in a folder."""
    path = folder / "detector.pth"
    return models.fasterrcnn_resnet50_fpn(pretrained_model=path if path.exists() else None, min_size=MIN_SIZE)


def chainfpn_engine(engine: str) -> Callable[[pathlib.Path, int], Callable[[], object]]:
    """Return what makes the work of one of our engines, for a folder and a number of threads."""

    def make(folder: pathlib.Path, threads: int) -> Callable[[], object]:
        detector, img = detector_of(folder).to_engine(engine, threads=threads), photograph()
        return lambda: detector.detect([img])

    return make


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
    """Return the work of ChainerCV's detector of the same kind, with random weights."""
    from chainercv.links import FasterRCNNFPNResNet50

    detector = FasterRCNNFPNResNet50(n_fg_class=80, pretrained_model=None, min_size=MIN_SIZE)
    img = photograph()
    return lambda: detector.predict([img])


def classifier(engine: str, name: str, n_image: int) -> Callable[[pathlib.Path, int], Callable[[], object]]:
    """Return what makes the work of a classifier on one of our engines."""

    def make(folder: pathlib.Path, threads: int) -> Callable[[], object]:
        model, x = models.MODELS[name].builder(), batch(n_image)
        if engine == "chainer":
            return lambda: model(x)
        from chainfpn.export.engine import Session
        from chainfpn.export.file import onnx_models

        session = Session(onnx_models(model)["image"].SerializeToString(), threads)
        return lambda: session.run(x)

    return make


def batch(n_image: int) -> Any:
    """Return a batch of images, (B, 3, 224, 224)."""
    return np.random.default_rng(0).standard_normal((n_image, 3, 224, 224), dtype=np.float32)


#: Contender to what makes its work, and the module it needs.
DETECTORS = {
    "chainfpn, engine onnx": (chainfpn_engine("onnx"), "onnxruntime"),
    "chainfpn, engine chainer": (chainfpn_engine("chainer"), "numba"),
    "ONNX Runtime on the end-to-end file": (onnxruntime_end_to_end, "onnxruntime"),
    "OpenVINO on the end-to-end file": (openvino_end_to_end, "openvino"),
    "ChainerCV": (chainercv, "chainercv"),
}
WORK = {name: make for name, (make, module) in DETECTORS.items()} | {
    f"{engine} {name} {n}": classifier(engine, name, n)
    for engine in ("onnx", "chainer") for name in CLASSIFIERS for n in BATCHES
}  # fmt: skip


def worker(name: str, folder: pathlib.Path, threads: int, repeat: int) -> dict[str, Any]:
    """Time a contender in this process."""
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        wall, cpu = timed(WORK[name](folder, threads), repeat)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"wall": statistics.median(wall), "cpu": statistics.median(cpu), "peak": peak}


def measured(name: str, folder: pathlib.Path, threads: int, repeat: int) -> dict[str, Any]:
    """Time a contender in a process of its own."""
    numbers = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    command = [
        sys.executable,
        __file__,
        "--worker",
        name,
        str(folder),
        "--threads",
        str(threads),
        "--repeat",
        str(repeat),
    ]
    environment = {**os.environ, **dict.fromkeys(numbers, str(threads))}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def theirs(live: Any, folder: pathlib.Path, threads: int, repeat: int, **inputs: Any) -> dict[str, Any]:
    """Time torchvision."""
    seconds = live.run(THEIRS, folder=folder, threads=threads, repeat=repeat, min_size=MIN_SIZE, **inputs)
    return {key: float(np.median(value)) for key, value in seconds.items()}


def measure_detectors(folder: pathlib.Path, live: Any, repeat: int) -> list[str]:
    """Measure the detectors: lines of a table."""
    n, img = len(os.sched_getaffinity(0)), photograph()
    runs = {
        name: lambda threads, name=name: measured(name, folder, threads, 1 if name == "ChainerCV" else repeat)
        for name, (_, module) in DETECTORS.items() if importlib.util.find_spec(module)
    }  # fmt: skip
    for last in (False, True) if live else ():
        name = "torchvision, channels_last" if last else "torchvision"
        options = {"name": "detector", "img": img, "channels_last": last}
        runs[name] = lambda threads, options=options: theirs(live, folder, threads, repeat, **options)
    many = {name: run(n) for name, run in runs.items()}
    one = {name: run(1) for name, run in runs.items() if name != "ChainerCV"}
    with busy():
        loaded = {name: run(n) for name, run in runs.items() if name != "ChainerCV"}
    base = many.get("torchvision", {}).get("wall")
    lines = [
        f"| detector | {n} threads, s | 1 thread, s | times torchvision | processor s | beside {N_BUSY} busy processes:"
        " s | processor s | peak, MB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, found in many.items():
        others = one.get(name, {}), loaded.get(name, {})
        cells = [found["wall"], others[0].get("wall"), base and base / found["wall"], found["cpu"]]
        cells += [others[1].get("wall"), others[1].get("cpu")]
        peak = f"{found['peak']:.0f}" if "peak" in found else ""
        lines.append(f"| {name} | {' | '.join('' if c is None else f'{c:.2f}' for c in cells)} | {peak} |")
    return lines


def measure_classifiers(folder: pathlib.Path, live: Any, repeat: int) -> list[str]:
    """Measure the classifiers: lines of a table."""
    n = len(os.sched_getaffinity(0))
    lines = [
        f"| batch, {n} threads | engine onnx, ms | chainer, ms | torchvision, ms | onnx, times torchvision |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in CLASSIFIERS:
        for n_image in BATCHES:
            ours = [measured(f"{engine} {name} {n_image}", folder, n, repeat)["wall"] for engine in ("onnx", "chainer")]
            options = {"name": name, "img": batch(n_image), "channels_last": False}
            other = theirs(live, folder, n, repeat, **options)["wall"] if live else None
            cells = [f"{1000 * seconds:.1f}" for seconds in (*ours, *([] if other is None else [other]))]
            cells += [f"{other / ours[0]:.2f}"] if other else ["", ""]
            lines.append(f"| {name}, {n_image} | {' | '.join(cells)} |")
    return lines


def measure(repeat: int) -> str:
    """Measure everything and return the section as Markdown."""
    machine, live, load = Machine(), find(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        if live is not None:
            live.run(MAKE, folder=folder, img=photograph(), min_size=MIN_SIZE)
        if importlib.util.find_spec("onnx"):
            exported(folder)
        lines = measure_detectors(folder, live, repeat)
        lines += ["", *measure_classifiers(folder, live, 5 * repeat)]
    about = f"Median of {repeat} runs after one to warm up, of ChainerCV one run; {machine.name()}"
    return "\n".join([*lines, "", f"{about}; load average before the run {load:.1f}."])


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="timed runs of each (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{markdown.BENCHMARKS.name}")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        name, folder = arguments.worker
        print(json.dumps(worker(name, pathlib.Path(folder), arguments.threads, arguments.repeat)))
        return
    section = measure(arguments.repeat)
    print(section)
    if arguments.write:
        markdown.write("engines.py", section)


if __name__ == "__main__":
    main()
