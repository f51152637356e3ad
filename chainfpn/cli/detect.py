"""Detect objects in photographs and videos, and draw them.

IMAGE is a file, a folder, a glob, a .txt list, an address, or - (standard
input). Without --weights it is torchvision's Faster R-CNN that detects the 80
classes of COCO (160 MB, downloaded once), or else the bundled person detector.

Example:
  chainfpn detect street.jpg
  chainfpn detect photos --weights maskrcnn_resnet50_fpn --json found.json
  chainfpn detect clip.mp4 --names person,car --batch 8 --device cuda

exit status: 0; 1 if an image could not be read (the others are done all the
same) or nothing could be done at all; 2 if the command line is wrong.
"""

import argparse
import sys

from chainfpn.cli.errors import UsageError
from chainfpn.cli.options import (
    add_device,
    add_engine,
    add_json,
    add_out,
    add_quiet,
    add_weights,
    check_json,
    fraction,
    whole,
    words,
)

DEFAULT_SCORE = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help=argparse.SUPPRESS)
    add_weights(parser)
    text = "what scores above S (default: %(default)s)"
    add("--score", type=fraction, default=DEFAULT_SCORE, metavar="S", help=text)
    add("--names", type=words, metavar="A,B", help="only these classes")
    add("--batch", type=whole(1), default=1, metavar="N", help="images seen at a time (default: %(default)s)")
    add_out(parser, "detections")
    add("--no-pictures", action="store_true", help="draw nothing")
    add_json(parser, "detections")
    add("--coco", action="store_true", help="as COCO's results; FILE.jsonl is JSON Lines")
    add("--resume", action="store_true", help="leave out the images that are in FILE")
    add_device(parser)
    add_engine(parser)
    add("--cache", action="store_true", help="keep what the weights became beside them")
    add("--mpi", action="store_true", help="share the work with others of mpiexec")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    _check(arguments)

    from chainfpn.cli.sources import find_sources

    sources, problems = find_sources(arguments.images, without=arguments.out)
    check_json(arguments.json, [source.name for source in sources], "an image")
    if not arguments.mpi:
        for problem in problems:
            print(problem, file=sys.stderr)
        if not sources:
            return 1
    return max(_detect(arguments, sources, problems), min(1, len(problems)))


def _check(arguments):
    """Raise a UsageError for options that do not go together."""
    if arguments.weights is None and (arguments.model is not None or arguments.cache):
        raise UsageError("--model and --cache need --weights")
    if arguments.resume and arguments.json in (None, "-"):
        raise UsageError("--resume needs --json FILE")
    if arguments.coco and arguments.json is None:
        raise UsageError("--coco needs --json")
    check_json(arguments.json, (*arguments.images, arguments.weights), "an image or the weights")


def _detect(arguments, sources, problems):
    from chainfpn.cli.console import remarks
    from chainfpn.cli.detection_run import RunOptions, count_workers, detect_all
    from chainfpn.cli.detector import (
        choose_device,
        count_threads,
        load_default_detector,
        load_named_detector,
        on_engine,
    )
    from chainfpn.cli.processes import communicator

    title, report = "", remarks(arguments.quiet)
    with communicator(arguments) as comm:
        if comm is not None and comm.rank == 0:
            for problem in problems:
                print(problem, file=sys.stderr)
        device = choose_device(arguments.device, comm)
        if arguments.weights is None:
            detector, title = load_default_detector(report)
        else:
            options = {"model": arguments.model, "cache": arguments.cache, "report": report}
            detector = load_named_detector(arguments.weights, **options)
        detector.to_device(device)
        n_threads = count_threads(arguments, comm)
        workers = count_workers(sources, arguments.batch, n_threads)
        cache = arguments.weights if arguments.cache else None
        detector = on_engine(detector, arguments.engine, n_threads // workers, cache=cache)
        options = RunOptions(
            arguments.out, arguments.score, arguments.names, arguments.batch, arguments.json, arguments.coco,
            arguments.resume, not arguments.no_pictures, arguments.quiet, arguments.stdout,
            workers,
        )  # fmt: skip
        return detect_all(detector, sources, options, comm, title=title)
