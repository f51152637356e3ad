"""A Faster R-CNN is read in few files: what runs to build it, in a training step and in ``predict``, but kernels."""

import pathlib
import re
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "scripts" / "count_files.py"


@pytest.mark.slow
def test_few_files_run():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    counts = {name: int(n) for name, n in re.findall(r"^\| (.+?) \| (\d+) \|$", done.stdout, re.MULTILINE)}
    assert counts.keys() == {"building", "a training step", "`predict`"}
    assert counts["building"] <= 16
    assert counts["a training step"] <= 24
    assert counts["`predict`"] <= 19
