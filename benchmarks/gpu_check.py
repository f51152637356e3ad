"""Run all that only a GPU can show, in a few minutes: tests, and every benchmark beside torchvision's CUDA.

    python benchmarks/gpu_check.py                            # eight minutes at most
    python benchmarks/gpu_check.py --device cpu --small       # the same commands where there is no card
    python benchmarks/gpu_check.py --write                    # the tables go into docs/benchmarks.md, too

Each step is a process of its own with a limit of its own; a step that fails or takes too long is named at the end, and
the next one runs. What a step prints, each figure ahead of the tables, is in its file in the folder as soon as it is
printed, and where a step was when its time was over, and its table is in the documentation when it ends: a run that is
cut short keeps what it had. torchvision is looked for in this interpreter and in the others of the machine; the random
weights that it makes are made once for a folder and a size.
"""

import argparse
import importlib.util
import pathlib
import sys
from collections.abc import Iterator

from bench_utils.steps import Step, run_all

#: What pytest is told on a card: new versions may warn of what is not an error.
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", "-rf", "--tb=short")

#: Processes of pytest, where the extra that starts them is installed.
PROCESSES = ("-n", "8") if importlib.util.find_spec("xdist") else ()


def steps(device: str, small: bool, out: pathlib.Path) -> Iterator[Step]:
    """List what there is to do, what matters most first: figures that have a goal, then tests, then why.

    Args:
        device (str): ``'cuda'`` or ``'cpu'``.
        small (bool): Leave out what takes more than seconds on a CPU.
        out (path): The folder for what steps leave to others.
    """
    on, tables = ("--device", device), not small
    tests = ("tests/chainfpn_tests/functions_tests/test_arguments.py",) if small else ("-m", "gpu", *PROCESSES, "tests")
    repeat = ("--weights", str(out), *(("--size", "224", "--repeat", "1") if small else ("--repeat", "10")))
    train = ("--size", "128", "--repeat", "1", "--rounds", "1") if small else ("--size", "800", "--repeat", "5")
    profile = ("--size", "128", "--repeat", "1") if small else ()

    def detect(precision, engine="chainer"):
        command = ("benchmarks/detect.py", *on, "--precision", precision, "--engine", engine, *repeat)
        return Step(f"detect-{precision}" + "-graph" * (engine != "chainer"), 60, command, tables)

    yield Step("info", 30, ("-m", "chainfpn", "info"))
    yield detect("float32")
    if device == "cuda":
        yield detect("float16")
    if not small:
        yield Step("roi_ops", 60, ("benchmarks/roi_ops.py", *on), tables)
    yield Step("train_step", 90, ("benchmarks/train_step.py", *on, *train), tables)
    if device == "cuda":
        yield detect("float32", "cuda-graph")
        yield detect("float16", "cuda-graph")
    yield Step("tests", 120, (*PYTEST, *tests))
    yield Step("profile", 60, ("benchmarks/gpu_profile.py", *on, *profile))
    if device == "cuda":
        yield detect("tf32")
        yield detect("tf32", "cuda-graph")
    if not small:
        yield Step("convolution", 60, ("benchmarks/convolution.py", *on), tables)


def main() -> None:
    """Run the steps one after the other and say how each ended; exit with 1 unless all went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda", help="where (default: %(default)s)")
    parser.add_argument("--small", action="store_true", help="only what takes seconds on a CPU")
    parser.add_argument("--budget", type=float, default=480, metavar="SECONDS", help="in all (default: %(default)g)")
    parser.add_argument("--only", nargs="+", metavar="STEP", help="names of steps")
    parser.add_argument("--out", type=pathlib.Path, default="build/gpu_check", metavar="DIR", help="a folder")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    listed = list(steps(arguments.device, arguments.small, arguments.out.resolve()))
    wanted = [step for step in listed if not arguments.only or step.name in arguments.only]
    if not wanted:
        parser.error(f"--only: must name steps among {[step.name for step in listed]}")
    if arguments.small:
        wanted = [step._replace(seconds=arguments.budget) for step in wanted]
    sys.exit(not run_all(wanted, arguments.out, arguments.budget, write=arguments.write))


if __name__ == "__main__":
    main()
