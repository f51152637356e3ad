"""Run all that only a GPU can show, in a few minutes: tests, and every benchmark beside torchvision's CUDA.

    python benchmarks/gpu_check.py --out gpu_check            # eight minutes at most
    python benchmarks/gpu_check.py --device cpu --small       # the same commands where there is no card
    python benchmarks/gpu_check.py --write                    # the tables go into docs/benchmarks.md, too

Each step is a process of its own with a limit of its own; a step that fails or takes too long is named at the end, and
the next one runs. What a step prints is in its file in the folder as soon as it is printed. torchvision is looked for
in this interpreter and in the others of the machine.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: What pytest is told on a card: new versions may warn of what is not an error.
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", "-rf", "--tb=short")


class Step(NamedTuple):
    """One process.

    Attributes:
        name (str): Of the step, and of the file with its output.
        seconds (int): Limit.
        command (tuple of str): Arguments of Python.
        tables (bool): Whether it can write into the documentation.
    """

    name: str
    seconds: int
    command: tuple[str, ...]
    tables: bool = False


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


def run(step: Step, seconds: float, out: pathlib.Path) -> str:
    """Run one step and return how it ended: ``ok``, its exit status, or that its time was over."""
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONUNBUFFERED": "1"}
    with (out / f"{step.name}.txt").open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, *step.command], cwd=ROOT, env=environment, stdout=printed, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"stopped after {seconds:.0f} s"
    return "ok" if status == 0 else f"exit status {status}"


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
    arguments.out.mkdir(parents=True, exist_ok=True)
    end, failed = time.monotonic() + arguments.budget, False
    for step in wanted:
        begin = time.monotonic()
        limit = end - begin if arguments.small else min(step.seconds, end - begin)
        if end - begin < 10:
            outcome = "left out: no time"
        else:
            if arguments.write and step.tables:
                step = step._replace(command=(*step.command, "--write"))
            outcome = run(step, limit, arguments.out)
        failed |= outcome != "ok"
        print(f"{step.name:16} {time.monotonic() - begin:6.1f} s  {outcome}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
