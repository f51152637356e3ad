"""Draw what a detector sees on the way to its boxes, as one PNG.

For those who debug a converted model: the input as the network gets it, the
maps of every level, the anchors at the middle of each, proposals, detections.
Without --weights it is the detector of chainfpn detect.

Example:
  chainfpn features photo.jpg --weights mine.pth --out seen
"""

import argparse
import pathlib

from chainfpn.cli.options import add_device, add_out, add_weights, fraction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("image", metavar="IMAGE", help=argparse.SUPPRESS)
    add_weights(parser)
    text = "detections above S (default: %(default)s)"
    parser.add_argument("--score", type=fraction, default=0.05, metavar="S", help=text)
    add_out(parser, "features")
    add_device(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    from chainfpn.cli.console import compile_remark, remark
    from chainfpn.cli.detector import open_detector
    from chainfpn.cli.errors import CommandError
    from chainfpn.cli.feature_maps import draw_features
    from chainfpn.cli.output import writing_errors
    from chainfpn.cli.results import save_picture
    from chainfpn.cli.sources import Source
    from chainfpn.images import ImageError

    try:
        image = Source(arguments.image).read()
    except ImageError as error:
        raise CommandError(str(error)) from error
    detector, _ = open_detector(arguments, remark)
    detector.score_thresh = arguments.score
    path = arguments.out / f"{pathlib.Path(Source(arguments.image).file).stem}_features.png"
    with writing_errors(path), compile_remark(remark):
        arguments.out.mkdir(parents=True, exist_ok=True)
        picture, lines = draw_features(detector, image)
        save_picture(picture, path)
    print("\n".join((*lines, f"picture written to {path}")))
    return 0
