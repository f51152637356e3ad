"""The command ``weights-convert``: arguments in, one report or one error out."""

import argparse
import os
import sys
from collections.abc import Sequence

import weights_convert
from weights_convert import zoo
from weights_convert.matching import match_checkpoint
from weights_convert.meta import parse_key_values
from weights_convert.options import Options
from weights_convert.report import Report
from weights_convert.write import FORMATS, format_of

_EXAMPLES = """examples:
  weights-convert fasterrcnn_resnet50_fpn_coco-258fb6c6.pth
  weights-convert mine.pth mine.npz --meta label_names=cat,dog --meta min_size=600
  weights-convert mine.npz back.pth          weights-convert unknown.pth --inspect
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = argparse.ArgumentParser(
        prog="weights-convert",
        description="Convert PyTorch checkpoints for Chainer, and back. Needs no PyTorch, executes nothing.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("src", nargs="?", metavar="SRC", help=".pth .pt .ckpt .safetensors .pkl .npz")
    add("dst", nargs="?", metavar="DST", help="default: SRC with the new ending")
    add("--model", metavar="NAME", help="the builder it is for; 'any' converts without one")
    add("--meta", action="append", default=[], metavar="KEY=VALUE", help="label_names, min_size, norm_eps, ...")
    add("--drop", action="append", default=[], metavar="GLOB", help="leave these .npz names out")
    add("--allow-missing", action="append", default=[], metavar="GLOB", help="the file need not have these")
    add("--only", metavar="PREFIX", help="keep only .npz names that begin so")
    add("--rename", action="append", default=[], metavar="FROM=TO", help="replace a prefix of .npz names")
    add("--entry", metavar="KEY", help="where in the file the weights are, e.g. model_ema")
    add("--dtype", choices=("float16", "float32"), help="store floating-point tensors so")
    add("--compress", action="store_true", help="deflate the .npz")
    add("--to", choices=tuple(FORMATS), help="format of DST; default: by its ending")
    add("--check", action="store_true", help="compare with what torch reads, where torch is installed")
    add("--inspect", action="store_true", help="say what SRC is and write nothing")
    add("--json", action="store_true", help="print the whole report as JSON")
    add("--zoo", metavar="NAME", help="download and convert torchvision's own file instead of SRC")
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
    args = parser.parse_args(argv)
    if (args.src is None) == (args.zoo is None):
        parser.error("give either SRC or --zoo NAME")
    try:
        report = _run(args)
    except weights_convert.CheckpointError as error:
        first, *problems = str(error).splitlines()
        if isinstance(error, weights_convert.ConversionError) and error.report is not None:
            _show(error.report, args.json)
        print(
            f"weights-convert: {first}{f': {len(problems)} problems, listed above' if problems else ''}",
            file=sys.stderr,
        )
        return 1
    _show(report, args.json)
    return 0


def _run(args: argparse.Namespace) -> Report:
    if args.zoo is not None:
        path = zoo.fetch(args.zoo, progress=sys.stderr.isatty())
        report = weights_convert.inspect(path)
        report.written = path
        return report
    names = ("model", "drop", "allow_missing", "only", "rename", "dtype", "entry")
    options = {name: getattr(args, name) for name in names} | {"meta": parse_key_values(args.meta)}
    if args.inspect:
        return match_checkpoint(args.src, Options(**options)).report
    to = args.to or format_of(args.dst or "")
    dst = args.dst or os.path.splitext(args.src)[0] + FORMATS[to]
    return weights_convert.convert(args.src, dst, to=to, compress=args.compress, check=args.check, **options)


def _show(report: Report, as_json: bool) -> None:
    try:
        print(report.to_json() if as_json else report.to_text(), flush=True)
    except BrokenPipeError:  # whoever reads has read enough; what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
