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
import json
import math
from collections import Counter
from typing import Any

from chainfpn.cli.errors import CommandError
from chainfpn.cli.options import add_device, add_json, add_quiet, add_weights, check_output, whole
from chainfpn.cli.output import complete_file, json_output, writing_errors
from chainfpn.errors import InvalidArgument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--data", required=True, metavar="PATH", help="VOC, COCO, YOLO, CSV ..., or shapes[:N]")
    add_weights(parser, required=True)
    parser.add_argument("--annotations", metavar="JSON", help="COCO's, if --data is a folder of images")
    parser.add_argument("--split", metavar="NAME", help="part of the data, such as val2017")
    text = "only these images: file names, JSON or one a line"
    parser.add_argument("--list", dest="names", metavar="FILE", help=text)
    parser.add_argument("--limit", type=whole(1), metavar="N", help="only the first N images")
    add_device(parser)
    add_json(parser, "figures")
    parser.add_argument("--results", metavar="FILE", help="write the detections as COCO's results")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    from chainfpn.cli.console import compile_remark, progress, remarks
    from chainfpn.cli.detector import choose_device, load_detector
    from chainfpn.datasets import DataError, open_dataset

    inputs = (arguments.weights, arguments.annotations, arguments.names)
    check_output("--json", arguments.json, inputs, "a file that is read")
    check_output("--results", arguments.results, (*inputs, arguments.json), "a file that is read, or that of --json")
    device = choose_device(arguments.device)
    options = {name: getattr(arguments, name) for name in ("annotations", "split", "names")}
    try:
        dataset = open_dataset(arguments.data, **options, use_ignored=True)
    except DataError as error:
        raise CommandError(str(error).replace("names: ", "--list: ", 1)) from error
    report = remarks(arguments.quiet)
    detector = load_detector(arguments.weights, model=arguments.model, report=report)
    detector.to_device(device)
    detector.use_preset("evaluate")
    n = len(dataset) if arguments.limit is None else min(len(dataset), arguments.limit)
    with json_output(arguments) as write, compile_remark(report):
        bar = progress(n, "image", quiet=arguments.quiet)
        return _evaluate(detector, dataset, bar, write, arguments.results, report)


def _evaluate(detector, dataset, bar, write, results, report_remark):
    """Evaluate and print; write what was printed as JSON, too."""
    from chainfpn.cli.console import WarnOnce, reasons
    from chainfpn.cli.evaluate_results import coco_results
    from chainfpn.training.evaluator import evaluate, mean

    report = WarnOnce()
    _report_unknown_labels(detector, dataset, report_remark)
    for omission in dataset.left_out.omissions:
        report(omission)
    n = bar.total
    try:
        with bar:
            evaluation = evaluate(detector, dataset, indices=_counted(bar), report=report)
    except InvalidArgument as error:
        raise CommandError(error.problem) from error
    if not evaluation.n_images:
        raise CommandError("none of the images could be read")
    if results is not None:
        with writing_errors(results), complete_file(results) as file:
            json.dump(coco_results(evaluation, dataset), file)
    ap, n_broken = evaluation.voc(), n - evaluation.n_images
    voc, coco = {"map": mean(ap.values()), "ap": ap}, _coco(evaluation, report_remark)
    for omission in dataset.left_out.omissions:  # also what was found while reading
        report(omission)
    found = dataset.left_out.counts | Counter(getattr(message, "reason", message) for message in report.warnings)
    left_out = dict(sorted(found.items()))  # whichever thread was first
    lines = reasons({"left out": left_out})
    print("\n".join((*_voc_lines(voc), *_coco_lines(coco), *([lines] if lines else []))))
    print(f"{evaluation.n_images} images" + (f", {n_broken} left out" if n_broken else ""))
    counts = {"images": evaluation.n_images, "broken": n_broken, "left_out": left_out}
    write(_without_nan({**counts, "voc": voc, "coco": coco}))
    return 1 if n_broken else 0


def _counted(bar):
    """Go through the indices of all images, and move the bar."""
    for i in range(bar.total):
        yield i
        bar.update()


def _report_unknown_labels(detector, dataset, report):
    """Print which labels of the data the detector does not know, for they do not count."""
    known = dataset.label_names if detector.label_names is None else detector.label_names
    unknown = [name for name in dataset.label_names if name not in known]
    if unknown and len(unknown) < len(dataset.label_names):
        report(f"not counted, for the detector does not know them: {', '.join(unknown)}")


def _coco(evaluation, report):
    """Compute COCO's figures, or print why there are none."""
    try:
        return evaluation.coco()
    except ImportError:
        report("no COCO figures: pycocotools is missing; pip install pycocotools")
        return {}


def _voc_lines(voc: dict[str, Any]) -> list[str]:
    """Format VOC's figures: a line per label with ground truth, and their mean."""
    from chainfpn.cli.console import table_lines

    shown = [(name, value) for name, value in voc["ap"].items() if not math.isnan(value)]
    return table_lines([("label", "AP50"), *((name, _number(v)) for name, v in (*shown, ("mean", voc["map"])))])


def _coco_lines(coco: dict[str, dict[str, float]]) -> list[str]:
    """Format COCO's figures: a line each, a column per kind."""
    from chainfpn.cli.console import table_lines
    from chainfpn.training.coco_evaluation import FIGURES
    from chainfpn.training.keypoint_evaluation import KEYPOINT_FIGURES

    lines = []
    for figures in (FIGURES, KEYPOINT_FIGURES):
        shown = {kind: values for kind, values in coco.items() if values.keys() == figures.keys()}
        if not shown:
            continue
        rows = [("COCO ", "IoU", "area", "most", *shown)]
        for name, (iou, area, most) in figures.items():
            rows.append((name, iou, area, str(most), *(_number(values[name]) for values in shown.values())))
        lines += ["", *table_lines(rows, n_left=3)]
    return lines


def _number(value: float) -> str:
    return f"{'-':>6}" if math.isnan(value) else f"{value:6.4f}"


def _without_nan(value: Any) -> Any:
    """Return JSON values with None, which JSON has, for nan, which it has not."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
