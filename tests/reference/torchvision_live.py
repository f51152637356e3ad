"""Torchvision itself as the reference, in whichever interpreter of this machine has it.

The tests' own environment has no torch. A snippet of Python is run in another interpreter; arrays
travel in .npz files, nothing is pickled.
"""

import functools
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

#: What surrounds the snippet in the other interpreter. Arguments: the inputs, the outputs, the folder.
HARNESS = """
import pathlib, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
import torch
import torchvision

torch.set_num_threads(2)
torch.manual_seed(0)
folder = pathlib.Path(sys.argv[3])
with np.load(sys.argv[1], allow_pickle=False) as file:
    inputs = {name: file[name] for name in file.files}
outputs = {}
with open(folder / SNIPPET, encoding="utf-8") as file:
    exec(compile(file.read(), SNIPPET, "exec"))
outputs = {name: np.asarray(value.detach() if hasattr(value, "detach") else value) for name, value in outputs.items()}
np.savez(sys.argv[2], **outputs)
"""


class TorchvisionLive:
    """Runs snippets of Python in an interpreter that has torchvision.

    Args:
        python (str): The interpreter.
    """

    def __init__(self, python):
        self.python = python

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
            AssertionError: with the interpreter's stderr if the snippet fails.
        """
        with tempfile.TemporaryDirectory(prefix="torchvision-live-") as temporary:
            work = pathlib.Path(temporary)
            snippet = work / "snippet.py"
            snippet.write_text(textwrap.dedent(code), encoding="utf-8")
            np.savez(work / "inputs.npz", **arrays)
            harness = f"SNIPPET = {str(snippet)!r}\n{HARNESS}"
            command = [self.python, "-c", harness, work / "inputs.npz", work / "outputs.npz", folder or work]
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=_clean_environment())
            if done.returncode:
                raise AssertionError(f"the snippet failed in {self.python}:\n{done.stderr}")
            with np.load(work / "outputs.npz", allow_pickle=False) as file:
                return {name: file[name] for name in file.files}


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
        command = [python, "-W", "ignore", "-c", "import torchvision"]
        if (
            pathlib.Path(python).exists()
            and not subprocess.run(command, capture_output=True, env=_clean_environment()).returncode
        ):
            return TorchvisionLive(python)
    return None


@pytest.fixture(scope="session")
def torchvision_live():
    """Give a TorchvisionLive; skip where there is none, or fail if CHAINFPN_REQUIRE_TORCHVISION=1."""
    live = find()
    if live is None:
        message = "no interpreter here has torchvision (CHAINFPN_TORCHVISION_PYTHON names one)"
        skip_or_fail("CHAINFPN_REQUIRE_TORCHVISION", message)
    return live
