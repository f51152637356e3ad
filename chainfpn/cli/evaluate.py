r"""Evaluate a detector on a data set.

Prints VOC's average precision of each label at an IoU of 0.5 and COCO's figures
of boxes, masks and keypoints. docs/datasets.md says what --data can be.

Example:
  chainfpn evaluate --data PennFudanPed --list test.json --weights person.npz
  chainfpn evaluate --data coco --split val2017 --json figures.json \
      --weights fasterrcnn_resnet50_fpn

exit status: 0; 1 if an image or anything else could not be read; 2 if the
command line is wrong.
"""

import argparse
import pathlib

from chainfpn.cli.options import add_device, add_json, add_quiet, add_weights, check_output, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--data", required=True, metavar="PATH", help="VOC, COCO, YOLO, CSV ..., or shapes[:N]")
    add_weights(parser, required=True)
    parser.add_argument("--annotations", metavar="JSON", help="COCO's, if --data is a folder of images")
    parser.add_argument("--split", metavar="NAME", help="part of the data, such as val2017")
    text = "only these images: file names, JSON or one a line"
    parser.add_argument("--list", dest="names", metavar="FILE", help=text)
    parser.add_argument("--limit", type=whole(1), metavar="N", help="only the first N images")
    text = "folder of mistakes.jpg, the worst images (default: nothing is written)"
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help=text)
    add_device(parser)
    add_json(parser, "figures")
    parser.add_argument("--results", metavar="FILE", help="write the detections as COCO's results")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    inputs = (arguments.weights, arguments.annotations, arguments.names)
    check_output("--json", arguments.json, inputs, "a file that is read")
    check_output("--results", arguments.results, (*inputs, arguments.json), "a file that is read, or that of --json")

    from chainfpn.cli.evaluation_run import evaluate_data

    return evaluate_data(arguments)
