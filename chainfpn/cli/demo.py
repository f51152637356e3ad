"""Find the person in the bundled photograph with the bundled weights.

Needs no network, no GPU and no files of your own.
"""

import pathlib

DEFAULT_OUT = pathlib.Path("demo")
#: High, because below it the small detector sees people in the folds of the flag, too.
SCORE = 0.9


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
        help="folder of the picture (default: %(default)s)",
    )


def run(arguments):
    """Run the sub-command.

    Args:
        arguments (argparse.Namespace): What was asked for.

    Returns:
        int: Exit status.

    Raises:
        CommandError: if the picture cannot be written.
    """
    from chainfpn.cli.detection import detect_all
    from chainfpn.cli.detector import load_detector
    from chainfpn.data import photograph_path, weights_path

    detector = load_detector(weights_path())
    return detect_all(detector, [photograph_path()], score=SCORE, out=arguments.out)
