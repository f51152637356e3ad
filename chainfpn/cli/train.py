r"""Train a detector on your own pictures.

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

from chainfpn.cli.errors import CommandError
from chainfpn.cli.training_options import amounts, numbers, pair, real, resumed, whole, words

#: Every option and its default; the parser leaves out what was not given, so that --resume knows what was.
DEFAULTS = {
    "data": None,
    "annotations": None,
    "split": None,
    "names": None,
    "held_out": None,
    "validation": None,
    "validation_annotations": None,
    "validation_split": None,
    "model": None,
    "set": [],
    "weights": None,
    "trainable_layers": None,
    "recompute_statistics": 0,
    "epochs": 10,
    "batch": 2,
    "lr": 0.005,
    "warm_up": 200,
    "schedule": "cosine",
    "weight_decay": 1e-4,
    "clip": 10.0,
    "loss": [],
    "train_sizes": None,
    "crop": 0.0,
    "paste": 0.0,
    "photometric": [0.2, 0.2, 0.2, 0.02],
    "no_augment": False,
    "dtype": "float32",
    "seed": 0,
    "resume": False,
    "before": None,
    "device": "cpu",
    "mpi": False,
    "evaluate_every": 1,
    "samples": 6,
}


def add_arguments(parser):
    """Declare the options.

    Args:
        parser (argparse.ArgumentParser): The sub-command's.
    """
    data = parser.add_argument_group("data", argument_default=argparse.SUPPRESS)
    data.add_argument(
        "--data",
        action="append",
        metavar="PATH",
        help="a VOC, COCO or Penn-Fudan folder, or shapes[:N]; give it several times to join several",
    )
    data.add_argument("--annotations", metavar="JSON", help="COCO annotations, where --data is a folder of images")
    data.add_argument("--split", metavar="NAME", help="part of a COCO or VOC tree, such as train2017")
    data.add_argument("--names", type=words, metavar="A,B", help="only these classes, labelled in this order")
    data.add_argument("--held-out", metavar="FILE", help="list of images of --data to validate with, not to train with")
    data.add_argument("--validation", metavar="PATH", help="other data to validate with, named as --data")
    data.add_argument("--validation-annotations", metavar="JSON", help="its annotations")
    data.add_argument("--validation-split", metavar="NAME", help="its part")

    model = parser.add_argument_group("model", argument_default=argparse.SUPPRESS)
    model.add_argument("--model", metavar="NAME", help="the builder (default: fasterrcnn_resnet_fpn)")
    model.add_argument(
        "--set", action="append", type=pair, metavar="KEY=VALUE", help="an option of the builder, such as depth=18"
    )
    model.add_argument("--weights", metavar="FILE", help="a trunk or a whole detector, .pth or .npz")
    model.add_argument(
        "--trainable-layers", type=int, metavar="N", help="stages of a ResNet that are trained, 0 to 5 from the last"
    )
    model.add_argument(
        "--recompute-statistics",
        type=whole(0),
        metavar="N",
        help="first measure the trunk's batch normalization anew, on N images",
    )

    training = parser.add_argument_group("training", argument_default=argparse.SUPPRESS)
    training.add_argument("--epochs", type=whole(1), metavar="N", help=_default("epochs"))
    training.add_argument("--batch", type=whole(1), metavar="N", help=_default("batch", "images per process and step"))
    training.add_argument("--lr", type=real(">= 0"), metavar="LR", help=_default("lr", "learning rate"))
    training.add_argument(
        "--warm-up", type=whole(0), metavar="N", help=_default("warm_up", "steps until --lr is reached")
    )
    training.add_argument("--schedule", choices=("cosine", "step", "constant"), help=_default("schedule"))
    training.add_argument("--weight-decay", type=real(">= 0"), metavar="W", help=_default("weight_decay"))
    training.add_argument(
        "--clip", type=real("> 0"), metavar="NORM", help=_default("clip", "limit of the gradients' norm, or inf")
    )
    training.add_argument(
        "--loss", action="append", type=pair, metavar="KEY=VALUE", help="an option of the losses, as torchvision's"
    )
    training.add_argument("--train-sizes", type=numbers, metavar="N,N", help="shorter sides to draw from in training")
    training.add_argument("--crop", type=float, metavar="P", help="how often only a part of an image is shown, 0 to 1")
    training.add_argument(
        "--paste", type=float, metavar="P", help="how often objects of other images are pasted in, 0 to 1; needs masks"
    )
    training.add_argument(
        "--photometric",
        type=amounts,
        metavar="B,C,S,H",
        help="most that brightness, contrast, saturation and hue change by, each 0 to 1 (default: 0.2,0.2,0.2,0.02)",
    )
    training.add_argument("--no-augment", action="store_true", help="show every image whole and as it is")
    training.add_argument("--dtype", choices=("float32", "mixed16"), help=_default("dtype"))
    training.add_argument("--seed", type=whole(0), metavar="N", help=_default("seed"))

    run = parser.add_argument_group("run", argument_default=argparse.SUPPRESS)
    run.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR", help="folder of everything written")
    run.add_argument(
        "--resume",
        action="store_true",
        help="go on with the training in --out, with its options; only --epochs and those of this group may differ",
    )
    run.add_argument("--device", metavar="cpu|cuda:N", help=_default("device", "where to compute"))
    run.add_argument("--mpi", action="store_true", help="share the work with the other processes of mpiexec")
    run.add_argument("--evaluate-every", type=whole(1), metavar="N", help=_default("evaluate_every", "epochs"))
    run.add_argument("--samples", type=whole(0), metavar="N", help=_default("samples", "pictures drawn"))


def run(arguments):
    """Run the sub-command.

    Args:
        arguments (argparse.Namespace): What was asked for, without what was not.

    Returns:
        int: Exit status.

    Raises:
        CommandError: if nothing can be done.
    """
    given = vars(arguments)
    if given.get("resume"):
        settings = resumed(given, DEFAULTS)
    elif (arguments.out / "train.json").exists():
        raise CommandError(
            f"{arguments.out}: has a training already; --resume goes on with it, or choose another --out"
        )
    else:
        settings = argparse.Namespace(**{**DEFAULTS, **given})
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


def _default(key, text=""):
    """Say what holds where an option is not given."""
    return f"{text} (default: {DEFAULTS[key]})" if text else f"default: {DEFAULTS[key]}"
