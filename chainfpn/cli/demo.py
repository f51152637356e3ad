"""Look for people in the bundled photographs.

Needs no network, no GPU and no files of your own.

Example:
  chainfpn demo
"""

import argparse

from chainfpn.cli.options import add_out, add_quiet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_out(parser, "demo")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    from chainfpn.cli.detection_run import RunOptions, detect_all
    from chainfpn.cli.detector import load_detector
    from chainfpn.cli.sources import Source
    from chainfpn.data import PHOTOGRAPHS, photograph_path, weights_path

    sources = [Source(str(photograph_path(name))) for name in PHOTOGRAPHS]
    return detect_all(load_detector(weights_path()), sources, RunOptions(arguments.out, quiet=arguments.quiet))
