"""Train a detector on your own pictures.

Writes to the folder --out: log (JSON), losses.png, ap.png, samples of what is
found, best.npz and last.npz for chainfpn detect and weights-convert,
snapshot.npz to go on from, and report.html with all of it on one page.
Ctrl-C stops after the current step and saves; --resume goes on from there as
if nothing had happened.

  chainfpn train --data shapes --set depth=18 --epochs 5 --out runs/shapes
  chainfpn train --data PennFudanPed --weights resnet50.pth --out runs/walkers
  chainfpn train --resume --out runs/walkers
  mpiexec -n 4 chainfpn train --mpi --device cuda --data coco --out runs/coco

exit status: 0; 1 if nothing could be done or the training was stopped; 2 if
the command line is wrong.
"""

import argparse
import json
import pathlib

from chainfpn.cli.errors import CommandError

#: What a resumed training takes from the command line and not from the one that was stopped.
OF_EACH_RUN = ("command", "run", "out", "resume", "before", "device", "mpi")


def add_arguments(parser):
    """Declare the options.

    Args:
        parser (argparse.ArgumentParser): The sub-command's.
    """
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        action="append",
        metavar="PATH",
        help="a VOC, COCO or Penn-Fudan folder, or shapes[:N]; give it several times to join several",
    )
    data.add_argument("--annotations", metavar="JSON", help="COCO annotations, where --data is a folder of images")
    data.add_argument("--split", metavar="NAME", help="part of a COCO or VOC tree, such as train2017")
    data.add_argument("--names", type=_words, metavar="A,B", help="only these classes, labelled in this order")
    data.add_argument("--held-out", metavar="FILE", help="list of images of --data to validate with, not to train with")
    data.add_argument("--validation", metavar="PATH", help="other data to validate with, named as --data")
    data.add_argument("--validation-split", metavar="NAME", help="its part")

    model = parser.add_argument_group("model")
    model.add_argument("--model", metavar="NAME", help="the builder (default: fasterrcnn_resnet_fpn)")
    model.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the builder, such as depth=18"
    )
    model.add_argument("--weights", metavar="FILE", help="a trunk or a whole detector, .pth or .npz")
    model.add_argument(
        "--trainable-layers", type=int, metavar="N", help="stages of a ResNet that are trained, 0 to 5 from the last"
    )
    model.add_argument(
        "--recompute-statistics",
        type=_at_least(0),
        default=0,
        metavar="N",
        help="first measure the trunk's batch normalization anew, on N images",
    )

    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=_at_least(1), default=10, metavar="N", help="default: %(default)s")
    training.add_argument("--batch", type=_at_least(1), default=2, metavar="N", help="images per process and step")
    training.add_argument("--lr", type=float, default=0.005, metavar="LR", help="learning rate (default: %(default)s)")
    training.add_argument("--warm-up", type=_at_least(0), default=200, metavar="N", help="steps until --lr is reached")
    training.add_argument("--schedule", choices=("cosine", "step", "constant"), default="cosine")
    training.add_argument("--weight-decay", type=float, default=1e-4, metavar="W", help="default: %(default)s")
    training.add_argument("--clip", type=float, default=10.0, metavar="NORM", help="limit of the gradients' norm")
    training.add_argument(
        "--loss", action="append", default=[], metavar="KEY=VALUE", help="an option of the losses, as torchvision's"
    )
    training.add_argument("--train-sizes", type=_numbers, metavar="N,N", help="shorter sides to draw from in training")
    training.add_argument(
        "--crop", type=float, default=0.0, metavar="P", help="how often only a part of an image is shown, 0 to 1"
    )
    training.add_argument("--no-augment", action="store_true", help="neither flip images nor change their light")
    training.add_argument("--dtype", choices=("float32", "mixed16"), default="float32")
    training.add_argument("--seed", type=_at_least(0), default=0, metavar="N", help="default: %(default)s")

    run = parser.add_argument_group("run")
    run.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR", help="folder of everything written")
    run.add_argument("--resume", action="store_true", help="go on with the training in --out, with its options")
    run.add_argument("--device", default="cpu", metavar="cpu|cuda:N", help="where to compute (default: %(default)s)")
    run.add_argument("--mpi", action="store_true", help="share the work with the other processes of mpiexec")
    run.add_argument(
        "--evaluate-every", type=_at_least(1), default=1, metavar="N", help="epochs (default: %(default)s)"
    )
    run.add_argument(
        "--samples", type=_at_least(0), default=6, metavar="N", help="pictures drawn (default: %(default)s)"
    )


def run(arguments):
    """Run the sub-command.

    Args:
        arguments (argparse.Namespace): What was asked for.

    Returns:
        int: Exit status.

    Raises:
        CommandError: if nothing can be done.
    """
    settings = _resumed(arguments) if arguments.resume else arguments
    if not settings.data:
        raise CommandError("--data is needed, except with --resume")
    if not 0 <= settings.crop <= 1:
        raise CommandError(f"--crop must be in 0 to 1, got {settings.crop}")
    if settings.held_out is not None and settings.validation is not None:
        raise CommandError("--held-out and --validation must not be given together")

    from chainfpn.cli.training_run import train

    return train(settings)


def to_json(settings):
    """Keep what a training was told.

    Args:
        settings (argparse.Namespace): The options.

    Returns:
        dict: JSON values.
    """
    return {key: value for key, value in vars(settings).items() if key not in OF_EACH_RUN}


def _resumed(arguments):
    """Return the options of the training in ``--out``, with those of this run."""
    path = arguments.out / "train.json"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        return argparse.Namespace(**{**vars(arguments), **before["settings"], "before": before})
    except OSError as error:
        raise CommandError(f"{path}: cannot be read ({error.strerror}); --resume needs a training in --out") from None
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{path}: is not what a training wrote") from None


def _at_least(least):
    def number(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be >= {least}, got {text}")
        return value

    return number


def _numbers(text):
    return [_at_least(1)(number) for number in text.split(",")]


def _words(text):
    return [word.strip() for word in text.split(",")]
