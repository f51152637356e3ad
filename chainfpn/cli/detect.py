"""Detect objects in photographs and draw what was found.

Prints a table and writes a copy of each image with the boxes on it. Without
--weights it is torchvision's Faster R-CNN that detects the 80 classes of COCO;
its file (160 MB) is downloaded once. Where it cannot be had the bundled person
detector is used.

exit status: 0; 1 if an image could not be read (the others are done all the
same) or nothing could be done at all; 2 if the command line is wrong.

Example:
  chainfpn detect street.jpg
  chainfpn detect photos/*.jpg --weights fasterrcnn.pth --json found.json
  mpiexec -n 4 chainfpn detect --mpi photos/*.jpg
"""

import argparse
import pathlib

from chainfpn.cli.errors import UsageError
from chainfpn.cli.options import add_device, add_json, add_out, add_quiet, add_weights, check_json, fraction

DEFAULT_SCORE = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", nargs="+", type=pathlib.Path, metavar="IMAGE", help="a photograph")
    add_weights(parser)
    text = "show what scores above S (default: %(default)s)"
    parser.add_argument("--score", type=fraction, default=DEFAULT_SCORE, metavar="S", help=text)
    add_json(parser, "detections")
    add_out(parser, "detections")
    add_device(parser)
    add_quiet(parser)
    text = "keep what a checkpoint was converted to beside it, as .npz, and use that the next time"
    parser.add_argument("--cache", action="store_true", help=text)
    parser.add_argument("--mpi", action="store_true", help="share the images with the other processes of mpiexec")


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    check_json(arguments.json, (*arguments.images, arguments.weights), "an image or the weights")

    from chainfpn.cli.detection_run import detect_all
    from chainfpn.cli.detector import choose_device, load_default_detector, load_detector
    from chainfpn.cli.processes import communicator

    with communicator(arguments) as comm:
        device = choose_device(arguments.device, comm)
        if arguments.weights is not None:
            detector = load_detector(pathlib.Path(arguments.weights), model=arguments.model, cache=arguments.cache)
        elif arguments.model is not None or arguments.cache:
            raise UsageError("--model and --cache need --weights")
        else:
            detector = load_default_detector()
        detector.to_device(device)
        options = {
            "score": arguments.score,
            "out": arguments.out,
            "json_path": arguments.json and pathlib.Path(arguments.json),
        }
        return detect_all(detector, arguments.images, **options, comm=comm)
