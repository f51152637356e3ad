"""Torchvision itself as the reference, in whichever interpreter of this machine has it.

The tests' own environment has no torch. A snippet of Python is run in another interpreter; arrays
travel in .npz files, nothing is pickled.
"""

import atexit
import contextlib
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import textwrap

import numpy as np
import pytest

from reference.required import skip_or_fail

#: What runs in the other interpreter: it imports torch once, then forks for every snippet.
#: A line of its stdin names the snippet, the inputs, the outputs, the folder, and where to print; it answers by a line,
#: the exit status. A first line says that it is ready.
SERVER = """
import json, os, pathlib, sys, traceback, warnings
warnings.simplefilter("ignore")
import numpy as np
import torch
import torchvision


def run(snippet, inputs, outputs, folder):
    torch.set_num_threads(int(os.environ.get("OPENBLAS_NUM_THREADS", 2)))
    torch.manual_seed(0)
    with np.load(inputs, allow_pickle=False) as file:
        names = {"inputs": {name: file[name] for name in file.files}, "outputs": {}, "folder": pathlib.Path(folder)}
    with open(snippet, encoding="utf-8") as file:
        exec(compile(file.read(), snippet, "exec"), {**modules, **names})
    arrays = {name: np.asarray(v.detach() if hasattr(v, "detach") else v) for name, v in names["outputs"].items()}
    np.savez(outputs, **arrays)


modules = {"__name__": "__main__", "np": np, "pathlib": pathlib, "sys": sys, "torch": torch, "torchvision": torchvision}
print("ready", flush=True)
for line in sys.stdin:
    *job, printed = json.loads(line)
    child = os.fork()
    if child == 0:
        log = os.open(printed, os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            run(*job)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class TorchvisionLive:
    """Runs snippets of Python in an interpreter that has torchvision, each in a process of its own.

    Args:
        python (str): The interpreter.
    """

    def __init__(self, python):
        self.python = python
        self._server = None

    def run(self, code, folder=None, **arrays):
        """Run a snippet and return the arrays it made.

        Inside the snippet ``inputs`` is a dict of the arrays, ``outputs`` a dict to fill with arrays or tensors,
        ``folder`` a pathlib.Path; ``np``, ``torch`` and ``torchvision`` are imported and torch is seeded with 0.

        Args:
            code (str): The snippet; its common indentation is removed.
            folder (path or None): Where both sides find files; a temporary folder by default.
            **arrays (array): The inputs.

        Returns:
            dict: Each name in ``outputs`` with its array.

        Raises:
            AssertionError: with what it printed if the snippet fails.
        """
        with tempfile.TemporaryDirectory(prefix="torchvision-live-") as temporary:
            work = pathlib.Path(temporary)
            snippet, inputs, outputs, printed = (
                work / name for name in ("snippet.py", "inputs.npz", "outputs.npz", "printed")
            )
            snippet.write_text(textwrap.dedent(code), encoding="utf-8")
            np.savez(inputs, **arrays)
            if self._ask(snippet, inputs, outputs, folder or work, printed) != "0\n":
                text = printed.read_text(encoding="utf-8", errors="replace") if printed.exists() else "no answer"
                raise AssertionError(f"the snippet failed in {self.python}:\n{text}")
            with np.load(outputs, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}

    def _ask(self, *paths):
        """Have the server, which is started first if need be, run a snippet: a line with the exit status."""
        if self._server is None or self._server.poll() is not None:
            self.start()
        self._server.stdin.write(json.dumps([str(path) for path in paths]) + "\n")
        self._server.stdin.flush()
        return self._server.stdout.readline()

    def start(self):
        """Start the server; it ends with this process.

        Raises:
            AssertionError: with what it printed if the interpreter has no torchvision.
        """
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._server = subprocess.Popen([self.python, "-c", SERVER], **pipes, text=True, env=_clean_environment())
        if self._server.stdout.readline() != "ready\n":
            _, errors = self._server.communicate()
            raise AssertionError(f"{self.python} has no torchvision that can be imported:\n{errors}")
        atexit.register(self._server.communicate)


def _clean_environment():
    """Return the environment without what would lead another interpreter to this one's packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


@functools.cache
def find():
    """Return a TorchvisionLive, or None if no interpreter found here has torchvision.

    ``CHAINFPN_TORCHVISION_PYTHON`` names an interpreter to try first.
    """
    candidates = (
        os.environ.get("CHAINFPN_TORCHVISION_PYTHON"),
        sys.executable,
        "/usr/bin/python3",
        shutil.which("python3"),
        shutil.which("python"),
    )
    for python in dict.fromkeys(candidate for candidate in candidates if candidate):
        live = TorchvisionLive(python)
        if pathlib.Path(python).exists():
            with contextlib.suppress(AssertionError):
                live.start()
                return live
    return None


@pytest.fixture(scope="session")
def torchvision_live():
    """Return a TorchvisionLive; skip where there is none, or fail if CHAINFPN_REQUIRE_TORCHVISION=1."""
    live = find()
    if live is None:
        message = "no interpreter here has torchvision (CHAINFPN_TORCHVISION_PYTHON names one)"
        skip_or_fail("CHAINFPN_REQUIRE_TORCHVISION", message)
    return live
