"""Run all that only a GPU can show, in a few minutes: tests, and every benchmark beside torchvision's CUDA.

    python benchmarks/gpu_check.py --out gpu_check            # eight minutes at most
    python benchmarks/gpu_check.py --device cpu --small       # the same commands where there is no card
    python benchmarks/gpu_check.py --write                    # the tables go into docs/benchmarks.md, too

Each step is a process of its own with a limit of its own; a step that fails or takes too long is named at the end, and
the next one runs. What a step prints is in its file in the folder as soon as it is printed. torchvision is looked for
in this interpreter and in the others of the machine.
"""

import argparse
import pathlib
import sys
from collections.abc import Iterator

from bench_utils.steps import Step, run_all

#: What pytest is told on a card: new versions may warn of what is not an error.
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", "-rf", "--tb=short")


def steps(device: str, small: bool) -> Iterator[Step]:
    """List what there is to do, what matters most first.

    Args:
        device (str): ``'cuda'`` or ``'cpu'``.
        small (bool): Leave out what takes more than seconds on a CPU.
    """
    yield Step("info", 60, ("-m", "chainfpn", "info"))
    tests = ("tests/chainfpn_tests/functions_tests/test_arguments.py",)
    yield Step("tests", 150, (*PYTEST, *(tests if small else ("-m", "gpu", "-n", "8", "tests"))))
    benchmark = {"tables": not small}
    repeat = ("--repeat", "1", "--size", "224") if small else ("--repeat", "10")
    for precision in ("float32", "tf32", "float16") if device == "cuda" else ("float32",):
        command = ("benchmarks/detect.py", "--device", device, "--precision", precision, *repeat)
        yield Step(f"detect-{precision}", 60, command, **benchmark)
    train = ("--size", "128", "--repeat", "1", "--rounds", "1") if small else ("--size", "800", "--repeat", "5")
    yield Step("train_step", 120, ("benchmarks/train_step.py", "--device", device, *train), **benchmark)
    if not small:
        yield Step("roi_ops", 90, ("benchmarks/roi_ops.py", "--device", device), **benchmark)
        yield Step("convolution", 60, ("benchmarks/convolution.py", "--device", device), **benchmark)


def main() -> None:
    """Run the steps one after the other and say how each ended; exit with 1 unless all went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda", help="where (default: %(default)s)")
    parser.add_argument("--small", action="store_true", help="only what takes seconds on a CPU")
    parser.add_argument("--budget", type=float, default=480, metavar="SECONDS", help="in all (default: %(default)g)")
    parser.add_argument("--only", nargs="+", metavar="STEP", help="names of steps")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu_check"), metavar="DIR", help="a folder")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    wanted = [s for s in steps(arguments.device, arguments.small) if not arguments.only or s.name in arguments.only]
    if not wanted:
        parser.error(f"--only: must name steps among {[s.name for s in steps(arguments.device, arguments.small)]}")
    if arguments.small:
        wanted = [step._replace(seconds=arguments.budget) for step in wanted]
    sys.exit(not run_all(wanted, arguments.out, arguments.budget, write=arguments.write))


if __name__ == "__main__":
    main()
