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
    from chainfpn.cli.console import WarnOnce
    from chainfpn.cli.data_coco import to_coco
    from chainfpn.cli.data_statistics import read_all, statistics_lines
    from chainfpn.cli.sheets import draw_sheet
    from chainfpn.cli.training_classes import class_table, count_classes
    from chainfpn.datasets import ValidatedDataset, open_dataset

    options = {"annotations": arguments.annotations, "split": split, "label_names": arguments.names}
    data = open_dataset(arguments.data, **options)
    if data.keypoint_names:
        data.keys = (*data.DEFAULT_KEYS, "point", "visible")
    warn = WarnOnce()
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
                    json.dump(to_coco(data, found, out), file)
        print(f"written to {out}: sheet.jpg" + (" and instances.json" if arguments.to is not None else ""))
    return 1 if warn.warnings else 0
