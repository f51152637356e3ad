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

from chainfpn.cli import options
from chainfpn.cli.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help=argparse.SUPPRESS)
    options.add_weights(parser)
    text = "what scores above S (default: %(default)s)"
    add("--score", type=options.fraction, default=0.5, metavar="S", help=text)
    add("--names", type=options.words, metavar="A,B", help="only these classes")
    add("--batch", type=options.whole(1), default=1, metavar="N", help="images seen at a time (default: %(default)s)")
    options.add_out(parser, "detections")
    add("--no-pictures", dest="pictures", action="store_false", help="draw nothing")
    options.add_json(parser, "detections")
    add("--coco", action="store_true", help="as COCO's results; FILE.jsonl is JSON Lines")
    add("--resume", action="store_true", help="leave out the images that are in FILE")
    options.add_device(parser)
    options.add_engine(parser)
    add("--cache", action="store_true", help="keep converted weights beside the file")
    add("--mpi", action="store_true", help="share the work with others of mpiexec")
    options.add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    _check(arguments)

    from chainfpn.cli.sources import find_sources

    sources, problems = find_sources(arguments.images, without=arguments.out)
    options.check_output("--json", arguments.json, [source.name for source in sources], "an image")
    if not arguments.mpi:
        _print(problems)
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
    inputs = (*arguments.images, arguments.weights)
    options.check_output("--json", arguments.json, inputs, "an image or the weights")


def _print(problems):
    for problem in problems:
        print(problem, file=sys.stderr)


def _detect(arguments, sources, problems):
    from chainfpn.cli.console import remarks
    from chainfpn.cli.detection_run import RunOptions, count_workers, detect_all
    from chainfpn.cli.detector import count_threads, on_engine, open_detector
    from chainfpn.cli.processes import communicator

    with communicator(arguments) as comm:
        if comm is not None and comm.rank == 0:
            _print(problems)
        detector, title = open_detector(arguments, remarks(arguments.quiet), comm)
        n_threads = count_threads(arguments, comm)
        workers = count_workers(sources, arguments.batch, n_threads)
        cache = arguments.weights if arguments.cache else None
        n_images = None if any(source.is_video for source in sources) else len(sources)
        detector = on_engine(detector, arguments.engine, n_threads // workers, cache=cache, n_images=n_images)
        return detect_all(detector, sources, RunOptions.of(arguments, workers), comm, title=title)
