"""List the models, what their predict returns, and their published weights.

A model is built by its name, as in chainfpn.models.resnet50(), and its weights
are loaded with pretrained_model="coco" or the like.

Example:
  chainfpn models --family faster_rcnn
"""

import argparse

from chainfpn.cli.errors import UsageError
from chainfpn.cli.options import add_json
from chainfpn.cli.output import json_output
from chainfpn.errors import InvalidArgument

_HEADS = ("model", "family", "predict returns", "published weights: figures in percent")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--family", metavar="F", help="only models of this family, such as faster_rcnn")
    add_json(parser, "models")


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    from chainfpn.cli.console import table_lines
    from chainfpn.models.registry import MODELS, list_models

    try:
        records = [MODELS[name] for name in list_models(arguments.family)]
    except InvalidArgument as error:
        raise UsageError(f"--family must be {error.rule}, got {error.value}") from error
    rows = [_HEADS, *((model.name, model.family, ", ".join(model.returns), _weights(model)) for model in records)]
    with json_output(arguments) as write:
        write([*map(_to_json, records)])
        print("\n".join(table_lines(rows, n_left=len(_HEADS))))
    return 0


def _weights(model):
    """Format the published weights of a model, each with its figures."""
    figures = {name: file.figures.items() for name, file in model.weights.items()}
    return "; ".join(" ".join((name, *(f"{key} {value}" for key, value in items))) for name, items in figures.items())


def _to_json(model):
    files = {
        name: {"url": file.url, "sha256": file.sha256, "figures": dict(file.figures)}
        for name, file in model.weights.items()
    }
    return {"name": model.name, "family": model.family, "returns": model.returns, "weights": files}
