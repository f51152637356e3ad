"""The command ``weights-convert``: arguments in, one report or one error out."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import weights_convert
from weights_convert import zoo
from weights_convert.api import inspect_with
from weights_convert.destinations import find_destinations
from weights_convert.meta import parse_key_values
from weights_convert.options import Options
from weights_convert.report import Report
from weights_convert.write import FORMATS

_EXAMPLES = """examples:
  weights-convert fasterrcnn_resnet50_fpn_coco-258fb6c6.pth
  weights-convert mine.pth mine.npz --meta label_names=cat,dog
  weights-convert mine.npz back.pth
  weights-convert unknown.pth --inspect
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = argparse.ArgumentParser(
        prog="weights-convert",
        usage="weights-convert SRC ... [options]",
        description="Convert PyTorch checkpoints for Chainer, and back, without PyTorch.",
        epilog=_EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=26, width=79),
    )
    add = parser.add_argument
    add("paths", nargs="*", metavar="SRC", help=".pth .safetensors .pkl .npz ...; a second one is DST")
    add("-o", "--output", metavar="FILE", help="DST (default: SRC with the new ending)")
    add("--out", metavar="DIR", help="write there; for any number of SRC")
    add("--force", action="store_true", help="replace what was not converted from SRC, too")
    add("--model", metavar="NAME", help="the builder (default: recognized), or 'any' for none")
    add("--meta", action="append", default=[], metavar="KEY=VALUE", help="label_names, min_size, norm_eps, ...")
    add("--config", metavar="FILE", help="detectron2's .yaml or mmdetection's .py, read as data")
    add("--drop", action="append", default=[], metavar="GLOB", help="leave these names out, of the file or the .npz")
    add("--allow-missing", action="append", default=[], metavar="GLOB", help="the file need not have these")
    add("--only", metavar="PREFIX", help="keep only .npz names that begin so")
    add("--rename", action="append", default=[], metavar="FROM=TO", help="replace a prefix of names, likewise")
    add("--entry", metavar="KEY", help="where in the file the weights are, e.g. model_ema")
    add("--dtype", choices=("float16", "float32"), help="of floating-point tensors (default: as in SRC)")
    add("--compress", action="store_true", help="deflate the .npz")
    add("--to", choices=tuple(FORMATS), help="format of DST (default: by its ending)")
    add("--check", action="store_true", help="compare with what torch reads")
    add("--inspect", action="store_true", help="print what SRC is and write nothing")
    add("--json", action="store_true", help="print the whole report as JSON")
    add("--zoo", metavar="NAME", help="get and convert torchvision's own file")
    add("--version", action="version", version=f"weights-convert {weights_convert.__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv (sequence of str or None): Its arguments; those of the process by default.

    Returns:
        int: 0; 1 if the file is bad or does not fit; argparse exits with 2 for bad arguments.
    """
    parser = make_parser()
    args = parser.parse_intermixed_args(argv)
    if bool(args.paths) == bool(args.zoo):
        parser.error("give either SRC or --zoo NAME")
    try:
        with _terminable():
            return _run(args)
    except KeyboardInterrupt:
        print("weights-convert: interrupted", file=sys.stderr)
        return 130


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the process as an exception does, so that nothing half written is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(args: argparse.Namespace) -> int:
    try:
        tasks = _tasks(args)
    except weights_convert.CheckpointError as error:
        print(f"weights-convert: {error}", file=sys.stderr)
        return 1
    reports, messages = [], []
    for task in tasks:
        try:
            report: Report | None = task()
        except weights_convert.CheckpointError as error:
            report = getattr(error, "report", None)
            first, *problems = str(error).splitlines()
            more = f": {len(problems)} problems, listed above" if problems else ""
            messages.append(f"weights-convert: {first}{more}")
        reports += [] if report is None else [report.to_json()]
        if report is not None and not args.json:
            _show(report.to_text())
    if args.json and reports:
        _show(reports[0] if len(tasks) == 1 else f"[{', '.join(reports)}]")
    for message in messages:
        print(message, file=sys.stderr)
    return min(len(messages), 1)


def _tasks(args: argparse.Namespace) -> list[Callable[[], Report]]:
    """Return what is to be done, each of which gives its report."""
    names = ("model", "drop", "allow_missing", "only", "rename", "dtype", "entry", "config")
    options = {name: getattr(args, name) for name in names} | {"meta": parse_key_values(args.meta)}
    if args.zoo:
        return [partial(_fetch, args.zoo)]
    if args.inspect:
        return [partial(inspect_with, path, Options(**options)) for path in args.paths]
    pairs = find_destinations(args.paths, output=args.output, folder=args.out, to=args.to, force=args.force)
    options |= {"to": args.to, "compress": args.compress, "check": args.check, "force": True}
    return [partial(weights_convert.convert, source, destination, **options) for source, destination in pairs]


def _fetch(name: str) -> Report:
    path = zoo.fetch(name)
    report = weights_convert.inspect(path)
    report.written = path
    return report


def _show(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # whoever reads has read enough; what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
