"""Programs that run one after the other, each in a process and within a time of its own."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import NamedTuple

#: Seconds that a process has to say where it is.
GRACE = 3
ROOT = pathlib.Path(__file__).resolve().parents[2]


class Step(NamedTuple):
    """One process.

    Attributes:
        name (str): Of the step, and of the file with its output.
        seconds (float): Limit.
        command (tuple of str): Arguments of Python.
        tables (bool): Whether it can write into the documentation.
    """

    name: str
    seconds: float
    command: tuple[str, ...]
    tables: bool = False


def run(step: Step, seconds: float, out: pathlib.Path) -> str:
    """Run one step and return how it ended: ``ok``, its exit status, or that its time was over."""
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONUNBUFFERED": "1"}
    environment["PYTHONFAULTHANDLER"] = "1"
    with (out / f"{step.name}.txt").open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, *step.command], cwd=ROOT, env=environment, stdout=printed, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # Python prints where it is
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"stopped after {seconds:.0f} s"
    return "ok" if status == 0 else f"exit status {status}"


def run_all(steps: Iterable[Step], out: pathlib.Path, budget: float, *, write: bool) -> bool:
    """Run steps and print how long each took and how it ended; one that fails does not keep the next from running.

    Args:
        steps (iterable of Step): What there is to do.
        out (path): The folder for what they print.
        budget (float): Seconds for all of them.
        write (bool): Whether those that can put their tables into the documentation.

    Returns:
        bool: Whether all ended well.
    """
    out.mkdir(parents=True, exist_ok=True)
    end, well = time.monotonic() + budget, True
    for step in steps:
        begin = time.monotonic()
        if end - begin < 10:
            outcome = "left out: no time"
        else:
            if write and step.tables:
                step = step._replace(command=(*step.command, "--write"))
            outcome = run(step, min(step.seconds, end - begin), out)
        well &= outcome == "ok"
        print(f"{step.name:20} {time.monotonic() - begin:6.1f} s  {outcome}", flush=True)
    return well
