"""Look for people in the two bundled photographs with the bundled weights.

Needs no network, no GPU and no files of your own.

Example:
  chainfpn demo
"""

import argparse

from chainfpn.cli.options import add_out, add_quiet

SCORE = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_out(parser, "demo")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    from chainfpn.cli.detection_run import detect_all
    from chainfpn.cli.detector import load_detector
    from chainfpn.data import PHOTOGRAPHS, photograph_path, weights_path

    images = [photograph_path(name) for name in PHOTOGRAPHS]
    return detect_all(load_detector(weights_path()), images, score=SCORE, out=arguments.out)
