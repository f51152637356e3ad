r"""Say how good a detector is on a data set.

Prints VOC's average precision of each label at an IoU of 0.5, and COCO's twelve
figures, of the boxes and, where there are masks on both sides, of the masks.
Only labels that both the detector and the data know count.

what --data can be:
  a folder with PNGImages and Annotation      Penn-Fudan
  a folder with JPEGImages and Annotations    VOC; --split names a list
  a folder with annotations/instances_*.json  COCO; --split names one of them
  a folder of images                          with --annotations, COCO's JSON
  shapes, shapes:N, shapes:N:SEED             N synthetic images

exit status: 0; 1 if an image could not be read (the others are done all the
same) or nothing could be done at all; 2 if the command line is wrong.

  chainfpn evaluate --data pennfudan --names test.json --weights person.npz
  chainfpn evaluate --data val2017 --annotations instances_val2017.json \
      --weights fasterrcnn_resnet50_fpn_coco-258fb6c6.pth --json figures.json
"""

import argparse
import contextlib
import json
import math
import pathlib
import sys

from chainfpn.cli.errors import CommandError
from chainfpn.cli.output import complete_file


def add_arguments(parser):
    """Declare the options.

    Args:
        parser (argparse.ArgumentParser): The sub-command's.
    """
    parser.add_argument("--data", required=True, metavar="DATA", help="what to look at, see below")
    parser.add_argument(
        "--weights",
        type=pathlib.Path,
        required=True,
        metavar="FILE",
        help="an .npz from weights-convert, or a checkpoint (.pth ...), which is converted on the fly",
    )
    parser.add_argument("--model", metavar="NAME", help="name of the model, if the weights do not say it")
    parser.add_argument("--annotations", metavar="FILE", help="COCO's JSON of the images in DATA")
    parser.add_argument("--split", metavar="NAME", help="which part of a VOC or COCO tree")
    parser.add_argument(
        "--names", metavar="FILE", help="look at these images only: a list of file names, as JSON or one a line"
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="look at the first N images only")
    parser.add_argument("--device", default="cpu", metavar="cpu|cuda:N", help="where to compute (default: %(default)s)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the figures to FILE, as JSON")


def run(arguments):
    """Run the sub-command.

    Args:
        arguments (argparse.Namespace): What was asked for.

    Returns:
        int: Exit status.

    Raises:
        CommandError: if nothing can be done.
    """
    from chainfpn.cli.detect import same_file
    from chainfpn.cli.detector import choose_device, load_detector
    from chainfpn.datasets import DataError, open_dataset

    protected = [pathlib.Path(path) for path in (arguments.weights, arguments.annotations, arguments.names) if path]
    if arguments.json is not None and any(same_file(arguments.json, path) for path in protected):
        raise CommandError(f"--json must not name a file that is read, got {arguments.json}")
    device = choose_device(arguments.device)
    try:
        dataset = open_dataset(
            arguments.data,
            annotations=arguments.annotations,
            split=arguments.split,
            names=arguments.names,
            use_ignored=True,
        )
    except DataError as error:
        raise CommandError(str(error)) from error
    detector = load_detector(arguments.weights, model=arguments.model)
    detector.to_device(device)
    detector.use_preset("evaluate")
    n = len(dataset) if arguments.limit is None else min(len(dataset), arguments.limit)
    try:
        with contextlib.ExitStack() as stack:
            file = None if arguments.json is None else stack.enter_context(complete_file(arguments.json))
            return _evaluate(detector, dataset, n, file)
    except BrokenPipeError:
        raise
    except OSError as error:
        path = error.filename or arguments.json
        raise CommandError(f"{path}: cannot be written ({error.strerror or error})") from error


def _evaluate(detector, dataset, n, json_file):
    """Evaluate and print; write what was printed to a file, if there is one."""
    from tqdm import tqdm

    from chainfpn.training.evaluator import evaluate, mean

    def report(message):
        tqdm.write(message, file=sys.stderr)

    _report_unknown_labels(detector, dataset)
    bar = tqdm(range(n), unit="image", file=sys.stderr, disable=not sys.stderr.isatty(), leave=False)
    try:
        evaluation = evaluate(detector, dataset, indices=bar, report=report)
    except ValueError as error:
        raise CommandError(str(error).partition(": ")[2]) from error
    if not evaluation.n_images:
        raise CommandError("none of the images could be read")
    ap = evaluation.voc()
    figures = {
        "images": evaluation.n_images,
        "broken": n - evaluation.n_images,
        "voc": {"map": mean(ap.values()), "ap": ap},
        "coco": _coco(evaluation),
    }
    print("\n".join((*_voc_lines(figures["voc"]), *_coco_lines(figures["coco"]))))
    print(f"{figures['images']} images" + (f", {figures['broken']} left out" if figures["broken"] else ""))
    if json_file is not None:
        json.dump(_without_nan(figures), json_file, indent=1)
        json_file.write("\n")
    return 1 if figures["broken"] else 0


def _report_unknown_labels(detector, dataset):
    """Say which labels of the data the detector does not know, for they do not count."""
    if detector.label_names is None:
        return
    unknown = [name for name in dataset.label_names if name not in detector.label_names]
    if unknown and len(unknown) < len(dataset.label_names):
        print(f"not counted, for the detector does not know them: {', '.join(unknown)}", file=sys.stderr)


def _coco(evaluation):
    """Compute COCO's figures, or say why there are none."""
    try:
        return evaluation.coco()
    except ImportError:
        print("no COCO figures: pycocotools is missing; pip install pycocotools", file=sys.stderr)
        return {}


def _voc_lines(voc):
    """Format VOC's figures: a line per label that there are objects of, and their mean."""
    shown = {name: value for name, value in voc["ap"].items() if not math.isnan(value)}
    width = max(map(len, ("label", "mean", *shown)))
    lines = [f"{'label':{width}}    AP50"]
    for name, value in (*shown.items(), ("mean", voc["map"])):
        lines.append(f"{name:{width}}  {_number(value)}")
    return lines


def _coco_lines(coco):
    """Format COCO's figures: a line each, a column per kind."""
    from chainfpn.training.coco_evaluation import FIGURES

    if not coco:
        return []
    lines = ["", f"{'COCO':5}  {'IoU':9}  {'area':6}  {'most':>4}" + "".join(f"  {kind:>6}" for kind in coco)]
    for name, (iou, area, most) in FIGURES.items():
        columns = "".join(f"  {_number(values[name])}" for values in coco.values())
        lines.append(f"{name:5}  {iou:9}  {area:6}  {most:4}{columns}")
    return lines


def _number(value):
    return f"{'-':>6}" if math.isnan(value) else f"{value:6.4f}"


def _without_nan(value):
    """Put None, which JSON has, for nan, which it has not."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _count(text):
    """Parse a number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1, got {text}")
    return value
