"""The command ``weights-convert``: arguments in, one report or one error out."""

import argparse
import os
import sys

import weights_convert
from weights_convert import zoo
from weights_convert.meta import parse_pairs
from weights_convert.plan import Options, make_plan, parse_rename
from weights_convert.write import FORMATS

_EXAMPLES = """examples:
  weights-convert fasterrcnn_resnet50_fpn_coco-258fb6c6.pth
  weights-convert mine.pth mine.npz --meta label_names=cat,dog --meta min_size=600
  weights-convert mine.npz back.pth          weights-convert unknown.pth --inspect
"""


def make_parser():
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


def main(argv=None):
    """Run the command.

    Returns:
        int: 0; 1 if the file is bad or does not fit; argparse exits with 2 for bad arguments.
    """
    parser = make_parser()
    args = parser.parse_args(argv)
    if (args.src is None) == (args.zoo is None):
        parser.error("give either SRC or --zoo NAME")
    try:
        report = _run(args)
    except weights_convert.ConversionError as e:
        _show(e.report, args.json)
        print(_first_line(e), file=sys.stderr)
        return 1
    except weights_convert.CheckpointError as e:
        print(f"weights-convert: {e}", file=sys.stderr)
        return 1
    _show(report, args.json)
    return 0


def _run(args):
    options = {
        "model": args.model,
        "drop": args.drop,
        "allow_missing": args.allow_missing,
        "only": args.only,
        "dtype": args.dtype,
        "entry": args.entry,
    }
    if args.zoo is not None:
        return _zoo(args)
    if args.inspect:
        return make_plan(args.src, Options(**_frozen(options), rename=parse_rename(args.rename))).report
    to = args.to or next((name for name, end in FORMATS.items() if args.dst and args.dst.endswith(end)), "npz")
    dst = args.dst or os.path.splitext(args.src)[0] + FORMATS[to]
    return weights_convert.convert(
        args.src,
        dst,
        meta=parse_pairs(args.meta),
        rename=args.rename,
        to=to,
        compress=args.compress,
        check=args.check,
        **options,
    )


def _zoo(args):
    path = zoo.fetch(args.zoo, progress=sys.stderr.isatty())
    report = weights_convert.inspect(path)
    report.written = path
    return report


def _frozen(options):
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def _show(report, as_json):
    try:
        print(report.to_json() if as_json else report.to_text(), flush=True)
    except BrokenPipeError:  # whoever reads has read enough; what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _first_line(error):
    lines = str(error).splitlines()
    more = f": {len(lines) - 1} problems, listed above" if len(lines) > 1 else ""
    return f"weights-convert: {lines[0]}{more}"


if __name__ == "__main__":
    sys.exit(main())
