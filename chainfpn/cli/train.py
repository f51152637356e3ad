r"""Train a detector on your own images.

Writes to the folder --out: log (JSON), losses.png, ap.png, samples of what is
found, best.npz and last.npz for chainfpn detect and weights-convert,
snapshot.npz to go on from, and report.html with all of it on one page. Without
data to validate with there is no ap.png and no best.npz. Ctrl-C stops after
the current step and saves; --resume goes on from there as if nothing had
happened.

  chainfpn train --data shapes --validation shapes:20:1 --set depth=18 \
      --epochs 5 --out runs/shapes
  chainfpn train --data PennFudanPed --held-out test.txt \
      --weights resnet50.pth --out runs/walkers
  chainfpn train --resume --out runs/walkers
  mpiexec -n 4 chainfpn train --mpi --device cuda --data coco \
      --split train2017 --validation coco --validation-split val2017 \
      --out runs/coco

exit status: 0; 1 if nothing could be done or the training was stopped; 2 if
the command line is wrong.
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

from chainfpn.cli.errors import CommandError
from chainfpn.cli.options import amounts, numbers, pair, real, whole, words


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
        "data": _option(
            None, "PATH", text="a VOC, COCO or Penn-Fudan folder, or shapes[:N]; several are joined", action="append"
        ),
        "annotations": _option(None, "JSON", text="COCO annotations, where --data is a folder of images"),
        "split": _option(None, "NAME", text="part of a COCO or VOC tree, such as train2017"),
        "names": _option(None, "A,B", words, "only these classes, labelled in this order"),
        "held_out": _option(None, "FILE", text="list of images of --data to validate with, not to train with"),
        "validation": _option(None, "PATH", text="other data to validate with, named as --data"),
        "validation_annotations": _option(None, "JSON", text="its annotations"),
        "validation_split": _option(None, "NAME", text="its part"),
    },
    "model": {
        "model": _option(None, "NAME", text="the builder (default: fasterrcnn_resnet_fpn)"),
        "set": _option([], "KEY=VALUE", pair, "an option of the builder, such as depth=18", action="append"),
        "weights": _option(None, "FILE", text="a trunk or a whole detector, .pth or .npz"),
        "trainable_layers": _option(None, "N", int, "stages of a ResNet that are trained, 0 to 5 from the last"),
        "recompute_statistics": _option(
            0, "N", whole(0), "first compute the trunk's batch normalization statistics on N images"
        ),
    },
    "training": {
        "epochs": _option(10, "N", whole(1)),
        "batch": _option(2, "N", whole(1), "images per process and step"),
        "lr": _option(0.005, "LR", real(">= 0"), "learning rate"),
        "warm_up": _option(200, "N", whole(0), "steps until --lr is reached"),
        "schedule": _option("cosine", choices=("cosine", "step", "constant")),
        "weight_decay": _option(1e-4, "W", real(">= 0")),
        "clip": _option(10.0, "NORM", real("> 0"), "limit of the gradients' norm, or inf"),
        "loss": _option([], "KEY=VALUE", pair, "an option of the losses, as torchvision's", action="append"),
        "train_sizes": _option(None, "N,N", numbers, "shorter sides to draw from in training"),
        "crop": _option(0.0, "P", float, "how often only a part of an image is shown, 0 to 1"),
        "paste": _option(0.0, "P", float, "how often objects of other images are pasted in, 0 to 1; needs masks"),
        "photometric": _option(
            [0.2, 0.2, 0.2, 0.02], "B,C,S,H", amounts, "range of brightness, contrast, saturation and hue, each 0 to 1"
        ),
        "no_augment": _option(False, text="show every image whole and as it is", action="store_true"),
        "dtype": _option("float32", choices=("float32", "mixed16")),
        "seed": _option(0, "N", whole(0)),
    },
    "run": {
        "out": _option(None, "DIR", pathlib.Path, "folder of everything written", required=True),
        "resume": _option(
            False,
            text="go on with the training in --out, with its options; only --epochs and those of this group may differ",
            action="store_true",
        ),
        "device": _option("cpu", "cpu|cuda:N", text="where to compute"),
        "mpi": _option(False, text="share the work with the other processes of mpiexec", action="store_true"),
        "evaluate_every": _option(1, "N", whole(1), "epochs"),
        "samples": _option(6, "N", whole(0), "pictures drawn"),
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
    if given.get("resume"):
        from chainfpn.cli.training_resume import resumed_settings

        settings = resumed_settings(given, DEFAULTS)
    elif (arguments.out / "train.json").exists():
        raise CommandError(
            f"{arguments.out}: has a training already; --resume goes on with it, or choose another --out"
        )
    else:
        settings = argparse.Namespace(**{**DEFAULTS, **given}, resume_state=None)
    if not settings.data:
        raise CommandError("--data is needed, except with --resume")
    for name in ("crop", "paste"):
        if not 0 <= getattr(settings, name) <= 1:
            raise CommandError(f"--{name} must be in 0 to 1, got {getattr(settings, name)}")
    if settings.held_out is not None and settings.validation is not None:
        raise CommandError("--held-out and --validation must not be given together")
    for name in ("annotations", "split"):
        if settings.validation is None and getattr(settings, f"validation_{name}") is not None:
            raise CommandError(f"--validation-{name} needs --validation")

    from chainfpn.cli.training_run import train

    return train(settings)
