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

#: What runs on the fake of each release, below. The text of the RoI ops is tested by the shim as well; of the older
#: release it is the names that matter, which detectors use.
SHIMS = [
    f"--ignore={TESTS / 'chainfpn_tests' / 'functions_tests' / name}"
    for name in ("test_roi_ops.py", "test_align_patch.py")
]
DETECTORS = TESTS / "chainfpn_tests" / "test_gpu_detectors.py", TESTS / "fake_cupy_tests" / "test_strictness.py"
#: What counts launches, and functions by themselves; whole detectors take as long as all of these.
QUICK = (
    TESTS / "fake_cupy_tests",
    TESTS / "chainfpn_tests" / "functions_tests",
    TESTS / "chainfpn_tests" / "boxes_tests",
    TESTS / "chainfpn_tests" / "links_tests" / "test_cuda_graphs.py",
    TESTS / "chainfpn_tests" / "links_tests" / "test_fused_convolution.py",
    TESTS / "chainfpn_tests" / "links_tests" / "test_fused_normalization.py",
    TESTS / "chainfpn_tests" / "links_tests" / "test_keypoint_peaks.py",
    TESTS / "chainfpn_tests" / "links_tests" / "test_paste_masks.py",
    TESTS / "chainfpn_tests" / "links_tests" / "test_preprocess.py",
    TESTS / "test_benchmark_devices.py",
    TESTS / "chainfpn_tests" / "training_tests" / "test_fused_update.py",
    TESTS / "chainfpn_tests" / "training_tests" / "test_gradient_clipping.py",
)
PARTS = {
    "14, all": (TESTS, *SHIMS),
    "13": (*DETECTORS, "-k", "detections or training_steps or strictness"),
    "14": (*QUICK, *SHIMS),
}

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-m", "(gpu or fake_gpu) and not live")


@pytest.mark.slow
@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
@pytest.mark.skipif(fake_cupy.is_installed(), reason="runs on the fake already")
@pytest.mark.parametrize(
    "release", ["14", *(pytest.param(part, marks=pytest.mark.thorough) for part in ("14, all", "13"))]
)
def test_the_tests_of_the_gpu_pass_on_the_fake(release, tmp_path):
    command = [*PYTEST, f"--basetemp={tmp_path / 'tests'}", *map(str, PARTS[release])]
    environment = {**os.environ, "CHAINFPN_FAKE_CUPY": release.partition(",")[0]}
    done = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stdout[-20000:] + done.stderr
