r"""Train a detector on your own images.

Ctrl-C stops after the current step and saves; --resume goes on from there.
docs/training.md says what is written and what --data can be.

Example:
  chainfpn train --data PennFudanPed --held-out test.txt --out runs/walkers
  chainfpn train --resume --out runs/walkers
  mpiexec -n 4 chainfpn train --mpi --device cuda --data coco --out runs/coco
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

from chainfpn.cli.errors import CommandError, UsageError
from chainfpn.cli.options import amounts, device, fraction, numbers, pair, real, whole, words


def _option(
    default: Any = None, metavar: str | None = None, kind: Callable | None = None, text: str = "", **more: Any
) -> dict[str, Any]:
    """Return what argparse takes of an option, with its default, if it has one, in the help text."""
    if default not in (None, [], False):
        shown = ",".join(map(str, default)) if isinstance(default, list) else default
        text = f"{text} (default: {shown})" if text else f"default: {shown}"
    options = {"metavar": metavar, "type": kind, "help": text, **more}
    return {"default": default, **{key: value for key, value in options.items() if value is not None}}


#: Group to its options, each by the name that it has in ``train.json``.
OPTIONS = {
    "data": {
        "data": _option(None, "PATH", text="VOC, COCO, Penn-Fudan, shapes[:N]; repeatable", action="append"),
        "annotations": _option(None, "JSON", text="COCO's, if --data is a folder of images"),
        "split": _option(None, "NAME", text="part of a COCO or VOC tree: train2017"),
        "names": _option(None, "A,B", words, "only these classes, in this order"),
        "held_out": _option(None, "FILE", text="images of --data to validate with only"),
        "validation": _option(None, "PATH", text="other data to validate with"),
        "validation_annotations": _option(None, "JSON", text="its annotations"),
        "validation_split": _option(None, "NAME", text="its part"),
    },
    "model": {
        "model": _option(None, "NAME", text="the builder (default: fasterrcnn_resnet_fpn)"),
        "set": _option([], "KEY=VALUE", pair, "its options, such as depth=18", action="append"),
        "weights": _option(None, "FILE", text="a trunk or a whole detector, .pth or .npz"),
        "trainable_layers": _option(None, "N", int, "stages of a ResNet that are trained, 0 to 5"),
        "recompute_statistics": _option(0, "N", whole(0), "of batch normalization, first, on N images"),
    },
    "training": {
        "epochs": _option(10, "N", whole(1)),
        "batch": _option(2, "N", whole(1), "images per process and step"),
        "lr": _option(0.005, "LR", real(">= 0"), "learning rate"),
        "warm_up": _option(200, "N", whole(0), "steps until --lr is reached"),
        "schedule": _option("cosine", "NAME", text="cosine, step or constant", choices=("cosine", "step", "constant")),
        "weight_decay": _option(1e-4, "W", real(">= 0")),
        "clip": _option(10.0, "NORM", real("> 0"), "limit of the gradients' norm"),
        "loss": _option([], "KEY=VALUE", pair, "options of the losses, as torchvision's", action="append"),
        "train_sizes": _option(None, "N,N", numbers, "shorter sides to draw from"),
        "crop": _option(0.0, "P", fraction, "how often a part of an image is shown"),
        "paste": _option(0.0, "P", fraction, "how often objects are pasted in; needs masks"),
        "photometric": _option([0.2, 0.2, 0.2, 0.02], "B,C,S,H", amounts, "amounts"),
        "no_augment": _option(False, text="show every image whole and as it is", action="store_true"),
        "dtype": _option("float32", "NAME", text="float32 or mixed16", choices=("float32", "mixed16")),
        "seed": _option(0, "N", whole(0)),
    },
    "run": {
        "out": _option(None, "DIR", pathlib.Path, "folder of what is written", required=True),
        "resume": _option(False, text="go on in --out, with its options", action="store_true"),
        "force": _option(False, text="remove the training that is in --out first", action="store_true"),
        "snapshot_every": _option(10, "N", real("> 0"), "minutes; also after the first step and every epoch"),
        "device": _option("cpu", "cpu|cuda:N", device, "where to compute"),
        "mpi": _option(False, text="share the work with others of mpiexec", action="store_true"),
        "evaluate_every": _option(1, "N", whole(1), "epochs"),
        "samples": _option(6, "N", whole(0), "pictures drawn"),
        "quiet": _option(False, text="print errors and warnings only", action="store_true"),
    },
}
DEFAULTS: dict[str, Any] = {key: how["default"] for group in OPTIONS.values() for key, how in group.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; what is not given is left out, so that --resume knows what was."""
    for title, options in OPTIONS.items():
        group = parser.add_argument_group(title)
        for key, how in options.items():
            group.add_argument("--" + key.replace("_", "-"), **{**how, "default": argparse.SUPPRESS})


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    given = vars(arguments)
    if "resume" in given and "force" in given:
        raise UsageError("--resume and --force must not be given together")
    if "resume" in given:
        from chainfpn.cli.training_resume import resumed_settings

        settings = resumed_settings(given, DEFAULTS)
    elif (arguments.out / "train.json").exists() and "force" not in given:
        raise CommandError(
            f"{arguments.out}: has a training already; --resume goes on with it, --force removes it, or choose another"
            " --out"
        )
    else:
        settings = argparse.Namespace(**{**DEFAULTS, **given}, resume_state=None)
    if not settings.data:
        raise UsageError("--data is needed, except with --resume")
    if settings.held_out is not None and settings.validation is not None:
        raise UsageError("--held-out and --validation must not be given together")
    for name in ("annotations", "split"):
        if settings.validation is None and getattr(settings, f"validation_{name}") is not None:
            raise UsageError(f"--validation-{name} needs --validation")

    from chainfpn.cli.training_run import train

    return train(settings)
