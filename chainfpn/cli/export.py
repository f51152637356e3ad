"""Write a model as ONNX, for ONNX Runtime, OpenVINO and others.

End to end, a detector takes an image (3, H, W) of 0..255 and gives what predict
finds in it. Dense, a model gives what the network computes of a prepared batch;
that of a detector of two stages comes in several parts.

Example:
  chainfpn export fasterrcnn.npz fasterrcnn.onnx
  chainfpn export detector.pth detector.onnx --model retinanet_resnet50_fpn
  chainfpn export fcos_resnet50_fpn fcos.onnx --form dense
"""

import argparse
import pathlib

from chainfpn.cli.errors import CommandError
from chainfpn.cli.options import check_output
from chainfpn.cli.output import writing_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    text = ".npz, .pth ..., or the name of a model, whose published weights are taken"
    parser.add_argument("weights", metavar="MODEL", help=text)
    parser.add_argument("out", type=pathlib.Path, metavar="OUT.onnx", help="the file to write")
    text = "end_to_end, a detector's default, or dense"
    parser.add_argument("--form", choices=("dense", "end_to_end"), metavar="FORM", help=text)
    parser.add_argument("--model", metavar="NAME", help="the builder, if the file does not name it")


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    check_output("OUT.onnx", arguments.out, [arguments.weights], "the weights")

    from chainfpn.cli.detector import load_model
    from chainfpn.export import export_onnx

    model = load_model(arguments.weights, model=arguments.model)
    try:
        with writing_errors(arguments.out):
            paths = export_onnx(model, arguments.out, form=arguments.form)
    except (ImportError, ValueError) as error:
        raise CommandError(str(error)) from error
    for path in paths:
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0
