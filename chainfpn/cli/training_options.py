"""The options of ``chainfpn train``."""

import pathlib
from collections.abc import Callable
from typing import Any

from chainfpn.cli.options import amounts, decay, device, every, fraction, numbers, pair, real, whole, words


def _option(
    default: Any = None, metavar: str | None = None, kind: Callable | None = None, text: str = "", **more: Any
) -> dict[str, Any]:
    """Return what argparse takes of an option, with its default, if it has one, in the help text."""
    if default is not None and default is not False and default != []:
        shown = ",".join(map(str, default)) if isinstance(default, list) else default
        text = f"{text} (default: {shown})" if text else f"default: {shown}"
    options = {"metavar": metavar, "type": kind, "help": text, **more}
    return {"default": default, **{key: value for key, value in options.items() if value is not None}}


#: Group to its options, each by the name that it has in ``train.json``, which keeps all but those of ``run``.
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "data": {
        "data": _option(None, "PATH", text="VOC, COCO, YOLO, CSV, shapes[:N]; repeatable", action="append"),
        "annotations": _option(None, "JSON", text="COCO's, if --data is a folder of images"),
        "split": _option(None, "NAME", text="part of the data: train2017"),
        "names": _option(None, "A,B", words, "only these classes, in this order"),
        "held_out": _option(None, "FILE", text="images of --data to validate with only, or a share: 0.2"),
        "validation": _option(None, "PATH", text="other data to validate with"),
    },
    "model": {
        "model": _option(None, "NAME", text="the builder (default: fasterrcnn_resnet_fpn)"),
        "set": _option([], "KEY=VALUE", pair, "its options, such as depth=18", action="append"),
        "weights": _option(None, "FILE", text="a trunk or a detector: .pth, .npz, or a name"),
    },
    "training": {
        "epochs": _option(10, "N", whole(1)),
        "batch": _option(2, "N", whole(1), "images per process and step"),
        "lr": _option(0.005, "LR", real(">= 0"), "learning rate"),
        "workers": _option(0, "N", whole(0, 256), "processes that read images ahead"),
        "overfit": _option(None, "N", whole(1), "learn N images by heart, to check data and options"),
    },
    "run": {
        "out": _option(None, "DIR", pathlib.Path, "folder of what is written", required=True),
        "resume": _option(False, text="go on in --out, with its options", action="store_true"),
        "config": _option(None, "FILE", pathlib.Path, "options, such as a train.json; others here go first"),
        "dry_run": _option(False, text="only check all and compute one loss", action="store_true"),
        "force": _option(False, text="remove the training that is in --out first", action="store_true"),
        "device": _option("cpu", "cpu|cuda:N", device, "where to compute"),
        "mpi": _option(False, text="share the work with others of mpiexec", action="store_true"),
        "quiet": _option(False, text="print errors and warnings only", action="store_true"),
    },
}
#: The same of what ``--help`` does not list, and ``--help-all`` does.
MORE_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "more of data, model and images": {
        "validation_annotations": _option(None, "JSON", text="annotations of --validation"),
        "validation_split": _option(None, "NAME", text="part of --validation"),
        "trainable_layers": _option(None, "N", int, "last stages of the trunk to train"),
        "loss": _option([], "KEY=VALUE", pair, "options of the losses, as torchvision's", action="append"),
        "train_sizes": _option(None, "N,N", numbers, "shorter sides to draw from"),
        "crop": _option(0.0, "P", fraction, "how often a part of an image is shown"),
        "paste": _option(0.0, "P", fraction, "how often objects are pasted in; needs masks"),
        "no_augment": _option(False, text="show every image whole and as it is", action="store_true"),
        "recompute_statistics": _option(0, "N", whole(0), "of batch normalization, first, on N images"),
        "jitter": _option(0.0, "P", fraction, "how often an image is 0.1 to 2 times as large"),
        "repeat": _option(None, "F", fraction, "classes of fewer images than this share come more often"),
        "photometric": _option([0.2, 0.2, 0.2, 0.02], "B,C,S,H", amounts, "of brightness, contrast, saturation, hue"),
        "seed": _option(0, "N", whole(0), "of all that is drawn at random"),
    },
    "optimizer": {
        "schedule": _option("cosine", "NAME", text="cosine, step or constant", choices=("cosine", "step", "constant")),
        "warm_up": _option(None, "N", whole(0), "steps until --lr is reached (default: 200, at most an epoch)"),
        "dtype": _option("float32", "NAME", text="float32 or mixed16", choices=("float32", "mixed16")),
        "optimizer": _option("momentum", "NAME", text="momentum, adam, adamw", choices=("momentum", "adam", "adamw")),
        "momentum": _option(0.9, "M", fraction),
        "weight_decay": _option(1e-4, "W", real(">= 0")),
        "clip": _option(10.0, "NORM", real("> 0"), "limit of the gradients' norm"),
        "decay_weights_only": _option(False, text="no decay of biases and normalizations", action="store_true"),
        "milestones": _option(None, "E,E", numbers, "epochs after which --schedule step falls"),
        "lr_batch": _option(None, "N", whole(1), "images a step that --lr is meant for, to scale it"),
        "ema": _option(None, "DECAY", decay, "average the weights: 0.9998"),
        "accumulate": _option(1, "N", whole(1), "batches whose gradients make a step"),
    },
    "how often": {
        "evaluate_every": _option(1, "N", every(whole(1)), "epochs, or 500steps"),
        "snapshot_every": _option(10, "N", every(real("> 0")), "minutes, or 500steps; also the 1st, and epochs"),
        "keep": _option(1, "N", whole(1), "snapshots"),
        "log_every": _option(20, "N", whole(1), "steps to a line"),
        "time_limit": _option(None, "MIN", real("> 0"), "minutes until it is saved and stopped"),
        "patience": _option(None, "N", whole(1), "evaluations without a better AP until the end"),
        "samples": _option(6, "N", whole(0), "pictures drawn"),
    },
}
DEFAULTS: dict[str, Any] = {
    key: how["default"] for group in (*OPTIONS.values(), *MORE_OPTIONS.values()) for key, how in group.items()
}
