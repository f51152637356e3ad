"""Run every benchmark of a CPU in one sitting, and put their tables into the documentation: ``make bench``.

    python benchmarks/sitting.py                        # 28 minutes at most, on a machine with nothing else to do
    python benchmarks/sitting.py --only detect speeds   # some of them

Each is a process of its own with a limit of its own; what it prints is in its file in the folder. Prints how long each
took; one that fails or takes too long is named, its table stays as it was, and the next one runs. At the end README's
ratios are taken from the tables.
"""

import argparse
import pathlib
import sys

from bench_utils.machine import refuse_gpus
from bench_utils.steps import Step, run_all

#: What takes long for one figure comes last.
STEPS = (
    Step("detect", 120, ("benchmarks/detect.py",), tables=True),
    Step("train_step", 300, ("benchmarks/train_step.py",), tables=True),
    Step("roi_ops", 280, ("benchmarks/roi_ops.py",), tables=True),
    Step("convolution", 150, ("benchmarks/convolution.py",), tables=True),
    Step("convert", 120, ("benchmarks/convert.py",), tables=True),
    Step("detect_folder", 120, ("benchmarks/detect_folder.py",), tables=True),
    Step("engines", 420, ("benchmarks/engines.py",), tables=True),
    Step("speeds", 420, ("benchmarks/speeds.py",), tables=True),
    Step("soak", 260, ("benchmarks/soak.py", "--images", "1000", "--min-size", "224"), tables=True),
)
RATIOS = Step("readme_ratios", 20, ("scripts/readme_ratios.py",))


def main() -> None:
    """Run them; exit with 1 unless all went well."""
    names = [step.name for step in STEPS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--budget", type=float, default=1680, metavar="SECONDS", help="in all (default: %(default)g)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/bench"), metavar="DIR", help="a folder")
    refuse_gpus(parser, "a sitting is a CPU's; benchmarks/gpu_check.py is that of a GPU")
    arguments = parser.parse_args()
    wanted = [step for step in STEPS if step.name in arguments.only]
    well = run_all(wanted, arguments.out, arguments.budget, write=True)
    sys.exit(not (run_all([RATIOS], arguments.out, RATIOS.seconds, write=False) and well))


if __name__ == "__main__":
    main()
