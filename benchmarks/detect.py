"""Time one detection, stage by stage, against torchvision, ChainerCV and what the machine can do.

    python benchmarks/detect.py                                    # print the tables
    python benchmarks/detect.py --device cuda --precision tf32     # of a GPU; float32 by default
    python benchmarks/detect.py --device cuda --engine cuda-graph  # maps and heads by one launch
    python benchmarks/detect.py --write                            # also put them into docs/benchmarks.md

Faster R-CNN with a ResNet-50 and a feature pyramid, torchvision's 91 outputs, on the bundled photograph at 800 pixels.
chainfpn and torchvision use the same weights and find the same boxes; ChainerCV takes part with its own trunk and
pyramid of the same kind. All use as many threads as there are cores. Without an interpreter that has torchvision its
column is left out. The limit is the time that the multiplications of convolutions and linear layers take at the speed
of a large matrix product (float32), measured in the same run. On a GPU the image goes there and the boxes come back in
the measured time; stages are timed in runs of their own, which wait for the device after each.
"""

import argparse
import inspect
import pathlib
import statistics
import tempfile
import textwrap
from collections.abc import Callable
from typing import Any

import chainfpn  # noqa: F401  # isort: skip
import chainer
import numpy as np
from chainercv.links import FasterRCNNFPNResNet50
from chainercv.utils import read_image

from bench_utils import markdown
from bench_utils.flops import FlopCounter
from bench_utils.machine import Machine, add_device, run_with_environment, tell
from bench_utils.stages import Stopwatch
from chainfpn import models
from chainfpn._typing import Array, PathLike
from chainfpn.data import photograph_path
from chainfpn.links.detectors.cuda_graphs import N_USUAL
from reference.random_networks import RANDOM_NETWORKS
from reference.torchvision_live import find

#: Makes the checkpoint: random weights that find hundreds of things.
MAKE = RANDOM_NETWORKS + textwrap.dedent(
    """
    from torchvision.models.detection import fasterrcnn_resnet50_fpn
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=int(inputs["min_size"])).eval()
    imgs = [torch.from_numpy(inputs["img"] / np.float32(255))]
    settle(model, lambda: model.backbone.body(model.transform(imgs)[0].tensors), 0)
    head, box = model.rpn.head, model.roi_heads.box_predictor
    spread(lambda: model(imgs), (head.cls_logits, 3), (head.bbox_pred, 0.3))
    spread(lambda: model(imgs), (box.cls_score, 3), (box.bbox_pred, 1))
    torch.save(model.state_dict(), folder / "part")
    (folder / "part").replace(folder / "detector.pth")
    """
)


#: Times torchvision, with the very same stopwatch.
THEIRS = (
    "import time\nfrom collections.abc import Callable\nfrom typing import Any\n"
    + inspect.getsource(Stopwatch)
    + textwrap.dedent(
        """
    import contextlib
    from torchvision.models.detection import fasterrcnn_resnet50_fpn
    torch.set_num_threads(int(inputs["threads"]))
    device, precision = str(inputs["device"]), str(inputs["precision"])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    half = torch.autocast(device, torch.float16) if precision == "float16" else contextlib.nullcontext()
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=int(inputs["min_size"])).eval()
    model.load_state_dict(torch.load(folder / "detector.pth"))
    model.to(device)
    img = torch.from_numpy(inputs["img"] / np.float32(255))
    predict = lambda: {name: value.cpu() for name, value in model([img.to(device)])[0].items()}
    watch = Stopwatch(torch.cuda.synchronize if device == "cuda" else lambda: None)
    watch.watch("prepare", model.transform)
    watch.watch("backbone", model.backbone)
    watch.watch("rpn", model.rpn)
    watch.watch("rpn head", model.rpn.head)
    watch.watch("pool", model.roi_heads.box_roi_pool)
    watch.watch("head", model.roi_heads.box_head)
    watch.watch("head", model.roi_heads.box_predictor)
    with torch.inference_mode(), half:
        for stage, seconds in watch.run(predict, int(inputs["repeat"])).items():
            outputs[stage] = np.array(seconds)
        outputs["boxes"] = predict()["boxes"]
    """
    )
)

#: Name of each row and how it is made of what the stopwatch saw.
STAGES = {
    "prepare: normalize, resize, pad": lambda s: s["prepare"],
    "trunk and pyramid": lambda s: s["backbone"],
    "RPN head": lambda s: s["rpn head"],
    "proposals: decode, NMS": lambda s: s["rpn"] - s["rpn head"],
    "RoI pooling": lambda s: s["pool"],
    "box head": lambda s: s["head"],
    "detections: decode, NMS": lambda s: s["staged"] - s["prepare"] - s["backbone"] - s["rpn"] - s["pool"] - s["head"],
    "**all**": lambda s: s["all"],
}
#: Of the engine cuda-graph, whose stages are one.
GRAPH_STAGES = ("prepare: normalize, resize, pad", "**all**")


def ours(
    path: PathLike | None, img: Array, min_size: int, repeat: int, machine: Machine, engine: str
) -> tuple[dict[str, list[float]], Array, dict[str, int], Array]:
    """Time chainfpn: seconds by stage, boxes, the layers' operations by stage, and the batch."""
    detector = models.fasterrcnn_resnet50_fpn(pretrained_model=path, min_size=min_size)
    detector.to_device(machine.chainers_device)
    detector, watch = detector.to_engine(engine), Stopwatch(machine.wait)
    watch.watch("prepare", detector, "prepare")
    if engine == "chainer":
        watch.watch("backbone", detector.backbone)
        watch.watch("rpn", detector.rpn)
        watch.watch("rpn head", detector.rpn.head)
        watch.watch("roi heads", detector.roi_heads)
        watch.watch("head", detector.roi_heads.box_head)
        watch.watch("head", detector.roi_heads.box_predictor)
    else:
        for _ in range(N_USUAL):  # the next run, which is to warm up, captures
            detector.predict([img])
    seconds = watch.run(lambda: detector.predict([img]), repeat)
    if engine == "chainer":
        seconds["pool"] = [a - b for a, b in zip(seconds["roi heads"], seconds["head"], strict=True)]
    x, _ = detector.prepare([img])
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        with FlopCounter() as flops:
            hs = detector.backbone(x)
        flops_of = {"trunk and pyramid": flops.forward}
        with FlopCounter() as flops:
            detector.rpn.head(hs)
        flops_of["RPN head"] = flops.forward
    with FlopCounter() as flops:
        (bbox,), _, _ = detector.predict([img])
    flops_of["**all**"] = flops.forward
    flops_of["box head"] = flops.forward - flops_of["trunk and pyramid"] - flops_of["RPN head"]
    return seconds, bbox, flops_of, x


def chainercvs_trunk(x: Array, repeat: int) -> tuple[list[float], int]:
    """Time ChainerCV's own trunk and pyramid: seconds, operations."""
    trunk = FasterRCNNFPNResNet50(n_fg_class=80, pretrained_model=None).extractor
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        seconds = Stopwatch().run(lambda: trunk(x), repeat)["all"]
        with FlopCounter() as flops:
            trunk(x)
    return seconds, flops.forward


def measure(
    repeat: int,
    machine: Machine,
    precision: str,
    min_size: int,
    weights: pathlib.Path | None,
    engine: str,
) -> str:
    """Measure everything and return the section as Markdown; keep the random weights in a folder if there is one."""
    img = read_image(str(photograph_path()))
    live = find()
    dtype = "float16" if precision == "float16" else "float32"
    speed = machine.operations(dtype)
    with tempfile.TemporaryDirectory() as temporary:
        folder = weights / str(min_size) if weights else pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = None if live is None else folder / "detector.pth"
        if live is not None and not path.exists():
            live.run(MAKE, folder=folder, img=img, min_size=min_size)
        with chainer.using_config("dtype", np.dtype(dtype)):
            seconds, bbox, flops_of, x = ours(path, img, min_size, repeat, machine, engine)
        tell(f"chainfpn: {statistics.median(seconds['all']):.5f} s a detection in {precision}")
        theirs = None
        if live is not None:
            given = {"img": img, "min_size": min_size, "threads": machine.n_threads, "repeat": repeat}
            given |= {"device": machine.device, "precision": precision}
            theirs = live.run(THEIRS, folder=folder, **given)
            boxes = theirs.pop("boxes")
            tell(f"torchvision: {statistics.median(theirs['all']):.5f} s")
    speed = max(speed, machine.operations(dtype))  # before and after, in case the machine had other things to do

    lines = [
        "| stage | chainfpn, s | torchvision, s | times as fast | limit, s | of the limit |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    digits = 5 if machine.on_gpu else 3
    for name in STAGES if engine == "chainer" else GRAPH_STAGES:
        row = STAGES[name]
        mine, other = median(row, seconds), theirs and median(row, theirs)
        limit = flops_of[name] / speed if name in flops_of else None
        cells = [f"{mine:.{digits}f}", other and f"{other:.{digits}f}", other and f"{other / mine:.2f}"]
        cells += [limit and f"{limit:.{digits}f}", limit and f"{limit / mine:.0%}"]
        lines.append(f"| {name} | " + " | ".join(cell or "" for cell in cells) + " |")
    if not machine.on_gpu:
        trunk, trunk_flop = chainercvs_trunk(x, repeat)
        chainercv = statistics.median(trunk)
        times = chainercv / statistics.median(seconds["backbone"])
        lines += [
            "",
            f"ChainerCV's own trunk and pyramid on the same batch take {chainercv:.3f} s "
            f"for {trunk_flop / 1e9:.0f} GFLOP; "
            f"chainfpn's, for {flops_of['trunk and pyramid'] / 1e9:.0f}, are {times:.2f} times as fast.",
        ]
    lines += [
        "",
        f"{len(bbox)} boxes on {x.shape[3]} x {x.shape[2]} pixels."
        + ("" if theirs is None else f" {agreement(bbox, boxes)}"),
        "",
        machine.signature(
            precision, f"matrix product {speed / 1e9:.0f} GFLOP/s", f"medians of {repeat} runs after one to warm up"
        ),
    ]
    return "\n".join(lines)


def median(row: Callable[[dict[str, Any]], float], seconds: dict[str, Any]) -> float:
    """Compute a row for every run, and return the median."""
    return statistics.median(
        row({stage: values[i] for stage, values in seconds.items()}) for i in range(len(seconds["all"]))
    )


def agreement(bbox: Array, boxes: Array) -> str:
    """Return how far our boxes are from torchvision's, of which those without a COCO category are left out."""
    distance = np.abs(bbox[:, None] - boxes[None, :, [1, 0, 3, 2]]).max(axis=2).min(axis=1)
    return f"Each box is one of torchvision's {len(boxes)}, at most {distance.max():.3f} pixels away."


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="timed runs of each (default: %(default)s)")
    add_device(parser, "where all sides run")
    parser.add_argument(
        "--precision",
        choices=["float32", "tf32", "float16"],
        default="float32",
        help="of layers (default: %(default)s)",
    )
    parser.add_argument(
        "--engine", choices=["chainer", "cuda-graph"], default="chainer", help="of ours (default: %(default)s)"
    )
    parser.add_argument("--size", type=int, default=800, metavar="PIXELS", help="shorter side (default: %(default)s)")
    parser.add_argument("--weights", type=pathlib.Path, metavar="DIR", help="a folder that keeps the random weights")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{markdown.BENCHMARKS.name}")
    arguments = parser.parse_args()
    if arguments.device == "cpu" and arguments.precision != "float32":
        parser.error("--precision: is float32 on a CPU")
    if arguments.device == "cpu" and arguments.engine != "chainer":
        parser.error("--engine: is chainer on a CPU")
    run_with_environment(CUPY_TF32=str(int(arguments.precision == "tf32")))
    options = arguments.precision, arguments.size, arguments.weights, arguments.engine
    section = measure(arguments.repeat, Machine(arguments.device), *options)
    name = f"detect.py {arguments.device} {arguments.precision}"
    name += "" if arguments.engine == "chainer" else f" {arguments.engine}"
    markdown.show(name, section, write_too=arguments.write)


if __name__ == "__main__":
    main()
