"""Detect objects in photographs and draw what was found.

Prints a table and writes a copy of each image with the boxes on it. Without
--weights it is torchvision's Faster R-CNN that detects the 80 classes of COCO;
its file (160 MB) is downloaded once. Where it cannot be had the bundled person
detector is used.

exit status: 0; 1 if an image could not be read (the others are done all the
same) or nothing could be done at all; 2 if the command line is wrong.

  chainfpn detect street.jpg
  chainfpn detect photos/*.jpg --weights fasterrcnn.pth --json found.json
  mpiexec -n 4 chainfpn detect --mpi photos/*.jpg
"""

import pathlib

from chainfpn.cli.errors import CommandError

DEFAULT_SCORE = 0.5
DEFAULT_OUT = pathlib.Path("detections")


def add_arguments(parser):
    """Declare the options.

    Args:
        parser (argparse.ArgumentParser): The sub-command's.
    """
    parser.add_argument("images", nargs="+", type=pathlib.Path, metavar="IMAGE", help="a photograph")
    parser.add_argument(
        "--weights",
        type=pathlib.Path,
        metavar="FILE",
        help="an .npz from weights-convert, or a checkpoint (.pth ...), which is converted on the fly",
    )
    parser.add_argument("--model", metavar="NAME", help="name of the model, if the weights do not say it")
    parser.add_argument(
        "--score",
        type=float,
        default=DEFAULT_SCORE,
        metavar="S",
        help="show only what scores above S, in 0 to 1 (default: %(default)s)",
    )
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the detections to FILE, as JSON")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=DEFAULT_OUT,
        metavar="DIR",
        help="folder of the pictures (default: %(default)s)",
    )
    parser.add_argument("--device", default="cpu", metavar="cpu|cuda:N", help="where to compute (default: %(default)s)")
    parser.add_argument(
        "--cache",
        action="store_true",
        help="keep what a checkpoint was converted to beside it, as .npz, and use that the next time",
    )
    parser.add_argument("--mpi", action="store_true", help="share the images with the other processes of mpiexec")


def run(arguments):
    """Run the sub-command.

    Args:
        arguments (argparse.Namespace): What was asked for.

    Returns:
        int: Exit status.

    Raises:
        CommandError: if nothing can be done.
    """
    if not 0 <= arguments.score <= 1:
        raise CommandError(f"--score must be in 0 to 1, got {arguments.score}")
    protected = [path for path in (*arguments.images, arguments.weights) if path is not None]
    if arguments.json is not None and any(same_file(arguments.json, path) for path in protected):
        raise CommandError(f"--json must not name an image or the weights, got {arguments.json}")

    from chainfpn.cli.detection import detect_all
    from chainfpn.cli.detector import choose_device, load_default_detector, load_detector
    from chainfpn.cli.processes import communicator, own_device

    with communicator(arguments) as comm:
        device = choose_device(own_device(arguments.device, comm))
        if arguments.weights is None:
            if arguments.model is not None or arguments.cache:
                raise CommandError("--model and --cache need --weights")
            detector = load_default_detector()
        else:
            detector = load_detector(arguments.weights, model=arguments.model, cache=arguments.cache)
        detector.to_device(device)
        options = {"score": arguments.score, "out": arguments.out, "json_path": arguments.json}
        return detect_all(detector, arguments.images, **options, comm=comm)


def same_file(path, other):
    """Tell whether two paths lead to the same place, whether or not there is a file.

    Args:
        path (pathlib.Path): One.
        other (pathlib.Path): The other.

    Returns:
        bool: Whether they do.
    """
    return path.resolve() == other.resolve()
