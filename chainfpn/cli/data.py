r"""Show what a data set is, and what is wrong with it.

Reads every image. Prints the kind of data, objects and images of each class,
sizes, and whatever is left out of a training, with the reason.
docs/datasets.md says what PATH can be.

Example:
  chainfpn data raccoon --out shown
  chainfpn data yolo/data.yaml --split val --to coco --out val
"""

import argparse
import json
import pathlib
from typing import Any

from chainfpn.cli.errors import CommandError, UsageError
from chainfpn.cli.options import add_quiet, words
from chainfpn.cli.output import complete_file, writing_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("data", metavar="PATH", help="what --data of train and evaluate takes")
    parser.add_argument("--annotations", metavar="JSON", help="COCO's, if PATH is a folder of images")
    parser.add_argument("--split", metavar="NAME", help="part of the data, such as val (default: all)")
    parser.add_argument("--names", type=words, metavar="A,B", help="only these classes")
    text = "folder of sheet.jpg, images with their boxes (default: nothing is written)"
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help=text)
    text = "write instances.json to --out, too; its images stay where they are"
    parser.add_argument("--to", choices=("coco",), metavar="coco", help=text)
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command; see :mod:`chainfpn.cli.main`."""
    from chainfpn.datasets import DataError, dataset_splits

    if arguments.to is not None and arguments.out is None:
        raise UsageError("--to needs --out")
    try:
        splits = () if arguments.split or arguments.annotations else dataset_splits(arguments.data)
        if not splits:
            return _show(arguments, arguments.split, arguments.out)
        print(f"{arguments.data}: splits {', '.join(splits)}")
    except DataError as error:
        raise CommandError(str(error)) from error
    return max([_show_split(arguments, split) for split in splits])


def _show_split(arguments: argparse.Namespace, split: str) -> int:
    """Show one split of several, or print why it cannot be opened; return the exit status."""
    from chainfpn.cli.console import remark
    from chainfpn.datasets import DataError

    try:
        return _show(arguments, split, None if arguments.out is None else arguments.out / split)
    except DataError as error:
        remark(f"{split}: {error}")
        return 1


def _show(arguments: argparse.Namespace, split: str | None, out: pathlib.Path | None) -> int:
    """Show a split, and write what is asked for; return the exit status."""
    from chainfpn.cli.console import remark
    from chainfpn.cli.data_pictures import draw_sheet
    from chainfpn.cli.data_statistics import read_all, statistics_lines
    from chainfpn.cli.training_classes import class_table, count_classes
    from chainfpn.cli.training_data import WarnOnce
    from chainfpn.datasets import ValidatedDataset, open_dataset

    options = {"annotations": arguments.annotations, "split": split, "label_names": arguments.names}
    data = open_dataset(arguments.data, **options)
    if data.keypoint_names:
        data.keys = (*data.DEFAULT_KEYS, "point", "visible")
    warn = WarnOnce(remark)
    part = "" if split is None else f", {split}"
    print(f"{arguments.data}{part}: {type(data).__name__.removesuffix('Dataset')}, {len(data)} images")
    if getattr(data, "splits", ()):
        print(f"splits: {', '.join(data.splits)}")
    counts = count_classes(data, data.left_out, warn)
    valid = ValidatedDataset(data, report=warn)
    found = read_all(valid, quiet=arguments.quiet)
    left_out: dict[str, int] = {}
    for reasons in (counts["left_out"], valid.left_out.counts):
        left_out.update({reason: max(n, left_out.get(reason, 0)) for reason, n in reasons.items()})
    counts["left_out"] = left_out
    print("\n".join((*statistics_lines(found), class_table({"training": counts, "validation": None}))))
    if out is not None:
        with writing_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            draw_sheet(valid, [one.example for one in found], out / "sheet.jpg")
            if arguments.to is not None:
                with complete_file(out / "instances.json") as file:
                    json.dump(_to_coco(data, found, out), file)
    return 1 if warn.warnings else 0


def _to_coco(data: Any, found: list, out: pathlib.Path) -> dict[str, Any]:
    """Return all that was found as COCO's instances, the images by their paths from the folder."""
    images: list[dict] = []
    annotations: list[dict] = []
    for i, one in enumerate(found, start=1):
        file, base = pathlib.Path(one.file).resolve(), out.resolve()
        name = (file.relative_to(base) if file.is_relative_to(base) else file).as_posix()
        images.append({"id": i, "file_name": name, "height": one.size[0], "width": one.size[1]})
        for k, ((y0, x0, y1, x1), label) in enumerate(zip(one.bbox.tolist(), one.label.tolist(), strict=True)):
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            ids = {"id": len(annotations) + 1, "image_id": i, "category_id": label + 1}
            annotations.append({**ids, **box, **_keypoints(one, k)})
    points = {"keypoints": data.keypoint_names} if data.keypoint_names else {}
    categories = [{"id": k, "name": name, **points} for k, name in enumerate(data.label_names, start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}


def _keypoints(one: Any, k: int) -> dict[str, Any]:
    """Return the keypoints of object k as COCO has them."""
    if one.point is None:
        return {}
    points = zip(one.point[k].tolist(), one.visible[k], strict=True)
    values = [(x, y, 2) if seen else (0, 0, 0) for (y, x), seen in points]
    return {"keypoints": [value for point in values for value in point], "num_keypoints": int(one.visible[k].sum())}
