"""Every GPU branch runs on a CPU: the tests marked ``gpu`` on a fake CuPy, in a process of its own.

But for those that ask torchvision, which the tests of the CPU do as well.
"""

import os
import pathlib
import subprocess
import sys

import pytest

from reference import fake_cupy
from reference.cuda_shim import find_compiler

TESTS = pathlib.Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
@pytest.mark.skipif(fake_cupy.is_installed(), reason="runs on the fake already")
@pytest.mark.parametrize("release", [13, 14])
def test_the_tests_of_the_gpu_pass_on_the_fake(release, tmp_path):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "(gpu or fake_gpu) and not live",
        f"--basetemp={tmp_path / 'tests'}",
    ]
    done = subprocess.run(
        [*command, "-p", "no:xdist", str(TESTS)],
        cwd=TESTS.parent,
        env={**os.environ, "CHAINFPN_FAKE_CUPY": str(release)},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stdout[-20000:] + done.stderr
