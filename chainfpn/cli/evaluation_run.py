"""An evaluation from its options: figures as tables and as JSON, detections as COCO's results."""

import argparse
import contextlib
import json
import math
import pathlib
from collections.abc import Iterable
from typing import Any

from chainfpn._typing import Report
from chainfpn.cli.console import WarnOnce, compile_remark, progress, reasons, remarks, table_lines
from chainfpn.cli.detector import choose_device, load_detector
from chainfpn.cli.errors import CommandError
from chainfpn.cli.output import complete_file, json_output, writing_errors
from chainfpn.cli.results_writer import coco_result, image_id
from chainfpn.cli.sheets import draw_mistakes
from chainfpn.datasets import DataError, DetectionDataset, open_dataset
from chainfpn.errors import InvalidArgument
from chainfpn.links import Detector
from chainfpn.training import Evaluation, evaluate
from chainfpn.training.coco_evaluation import FIGURES
from chainfpn.training.evaluator import mean
from chainfpn.training.keypoint_evaluation import KEYPOINT_FIGURES


def evaluate_data(arguments: argparse.Namespace) -> int:
    """Evaluate a detector as ``chainfpn evaluate`` says: 0, or 1 if an image could not be read."""
    report, warn = remarks(arguments.quiet), WarnOnce()
    device = choose_device(arguments.device)
    options = {name: getattr(arguments, name) for name in ("annotations", "split", "names")}
    try:
        data = open_dataset(arguments.data, **options, use_ignored=True)
    except DataError as error:
        raise CommandError(str(error).replace("names: ", "--list: ", 1)) from error
    detector = load_detector(arguments.weights, model=arguments.model, report=report)
    detector.to_device(device)
    detector.use_preset("evaluate")
    if arguments.out is not None:
        with writing_errors(arguments.out):
            arguments.out.mkdir(parents=True, exist_ok=True)
    n = len(data) if arguments.limit is None else min(len(data), arguments.limit)
    results = contextlib.nullcontext() if arguments.results is None else complete_file(arguments.results)
    with json_output(arguments) as write, writing_errors(arguments.results), results as file, compile_remark(report):
        _report_unknown_labels(detector, data, report)
        for omission in data.left_out.omissions:
            warn(omission)
        with progress(range(n), "image", quiet=arguments.quiet) as indices:
            evaluation = _evaluate(detector, data, indices, warn)
        if file is not None:
            json.dump(_coco_results(evaluation, data), file)
        for omission in data.left_out.omissions:  # also what was found while reading
            warn(omission)
        found = data.left_out.counts | warn.counts
        _show(evaluation, n, dict(sorted(found.items())), write, report)  # sorted, for any thread may be first
        if arguments.out is not None:
            with writing_errors(arguments.out):
                print(draw_mistakes(evaluation, data, arguments.out / "mistakes.jpg"))
    return 1 if n > evaluation.n_images else 0


def _evaluate(detector: Detector, data: DetectionDataset, indices: Iterable[int], warn: Report) -> Evaluation:
    try:
        evaluation = evaluate(detector, data, indices=indices, report=warn)
    except InvalidArgument as error:
        raise CommandError(error.problem) from error
    if not evaluation.n_images:
        raise CommandError("none of the images could be read")
    return evaluation


def _report_unknown_labels(detector: Detector, data: DetectionDataset, report: Report) -> None:
    """Print which labels of the data the detector does not know, for they do not count."""
    known = data.label_names if detector.label_names is None else detector.label_names
    unknown = [name for name in data.label_names if name not in known]
    if unknown and len(unknown) < len(data.label_names):
        report(f"not counted, for the detector does not know them: {', '.join(unknown)}")


def _show(evaluation: Evaluation, n: int, left_out: dict[str, int], write: Report, report: Report) -> None:
    """Print the figures, and write them as JSON."""
    ap, n_broken, lines = evaluation.voc(), n - evaluation.n_images, reasons({"left out": left_out})
    voc, coco = {"map": mean(ap.values()), "ap": ap}, _coco(evaluation, report)
    print("\n".join((*_voc_lines(voc), *_coco_lines(coco), *([lines] if lines else []))))
    print(f"{evaluation.n_images} images" + (f", {n_broken} left out" if n_broken else ""))
    counts = {"images": evaluation.n_images, "broken": n_broken, "left_out": left_out}
    write(_without_nan({**counts, "voc": voc, "coco": coco}))


def _coco(evaluation: Evaluation, report: Report) -> dict[str, dict[str, float]]:
    """Compute COCO's figures, or print why there are none."""
    try:
        return evaluation.coco()
    except ImportError:
        report("no COCO figures: pycocotools is missing; pip install 'chainfpn[coco]'")
        return {}


def _voc_lines(voc: dict[str, Any]) -> list[str]:
    """Format VOC's figures: a line per label with ground truth, and their mean."""
    shown = [(name, value) for name, value in voc["ap"].items() if not math.isnan(value)]
    return table_lines([("label", "AP50"), *((name, _number(v)) for name, v in (*shown, ("mean", voc["map"])))])


def _coco_lines(coco: dict[str, dict[str, float]]) -> list[str]:
    """Format COCO's figures: a line each, a column per kind."""
    lines = []
    for figures in (FIGURES, KEYPOINT_FIGURES):
        shown = {kind: values for kind, values in coco.items() if values.keys() == figures.keys()}
        if not shown:
            continue
        rows = [("COCO ", "IoU", "area", "maxDets", *shown)]
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


def _coco_results(evaluation: Evaluation, data: DetectionDataset) -> list[dict[str, Any]]:
    """Return the detections as pycocotools and COCO's server take them.

    COCO's ids are those of its file. Of other data an image is called by the number, or the name, of its file, and a
    category by its label, counted from 1.
    """
    ids = getattr(data, "category_ids", range(1, len(data.label_names) + 1))
    category_ids = [ids[data.label_names.index(name)] for name in evaluation.label_names]
    results = []
    for i, found in evaluation.detections():
        columns = (found.get(key, [None] * len(found["bbox"])) for key in ("bbox", "label", "score", "mask", "point"))
        for bb, label, score, mask, point in zip(*columns, strict=True):
            runs = None if mask is None else {**mask, "counts": mask["counts"].decode("ascii")}
            places = None if point is None else point.tolist()
            result = coco_result(category_ids[label], bb.tolist(), float(score), runs, places)
            results.append({"image_id": _image_id(data, i), **result})
    return results


def _image_id(data: DetectionDataset, i: int) -> Any:
    if hasattr(data, "image_ids"):
        return data.image_ids[i]
    return image_id({"file": pathlib.PurePath(data.file_name(i)).name})
