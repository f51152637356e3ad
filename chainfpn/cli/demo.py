"""Look for people in the two bundled photographs with the bundled weights.

Needs no network, no GPU and no files of your own.
"""

import pathlib

DEFAULT_OUT = pathlib.Path("demo")
SCORE = 0.5


def add_arguments(parser):
    """Declare the options.

    Args:
        parser (argparse.ArgumentParser): The sub-command's.
    """
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=DEFAULT_OUT,
        metavar="DIR",
        help="folder of the pictures (default: %(default)s)",
    )


def run(arguments):
    """Run the sub-command.

    Args:
        arguments (argparse.Namespace): What was asked for.

    Returns:
        int: Exit status.

    Raises:
        CommandError: if a picture cannot be written.
    """
    from chainfpn.cli.detection import detect_all
    from chainfpn.cli.detector import load_detector
    from chainfpn.data import PHOTOGRAPHS, photograph_path, weights_path

    detector = load_detector(weights_path())
    return detect_all(detector, [photograph_path(name) for name in PHOTOGRAPHS], score=SCORE, out=arguments.out)
