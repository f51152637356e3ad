"""What ``import chainfpn`` does in a fresh interpreter."""

import subprocess
import sys

import pytest


def python(code, *options):
    """Run code in a fresh interpreter; return the finished process."""
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True)


def test_chainer_and_chainercv_import_and_run_silently():
    code = """
import chainfpn, chainer, chainercv, chainer.functions as F, numpy as np
F.resize_images(np.ones((1, 1, 2, 2), np.float32), (4, 4))
print(chainer.__version__, chainercv.__version__)
"""
    done = python(code, "-W", "error")
    assert (done.stdout.strip(), done.stderr) == ("7.8.1 0.13.1", "")


def test_nothing_heavy_is_imported():
    # Pillow is not among them: Chainer itself imports it
    code = """
import sys, chainfpn
heavy = {"numba", "torch", "torchvision", "matplotlib", "tqdm", "onnx", "pycocotools"}
print(sorted(heavy & set(sys.modules)))
"""
    done = python(code)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_chainer_and_numpy_are_imported_when_they_are_needed():
    code = "import sys, chainfpn; print([name for name in ('chainer', 'numpy', 'packaging') if name in sys.modules])"
    done = python(code)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_half_loaded_chainer_is_refused_in_one_sentence():
    code = """
import sys, types
sys.modules["chainer._version"] = types.ModuleType("chainer._version")  # what a failed import leaves behind
import chainfpn
"""
    done = python(code)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: chainfpn: an earlier import of chainer failed and left it half-loaded; "
        "start a fresh interpreter and import chainfpn before chainer"
    )


def test_a_chainer_that_really_failed_is_refused():
    code = """
import sys
sys.modules["numpy.distutils"] = None  # makes the first import of Chainer fail on every Python
try:
    import chainer
except Exception:
    del sys.modules["numpy.distutils"]
import chainfpn
"""
    done = python(code, "-W", "ignore")
    assert done.returncode == 1
    assert "start a fresh interpreter and import chainfpn before chainer" in done.stderr


def test_a_second_call_changes_nothing():
    code = """
import sys, chainfpn, numpy
before = list(sys.meta_path), vars(numpy).copy()
chainfpn.compat.enable()
assert before == (list(sys.meta_path), vars(numpy))
"""
    assert python(code).stderr == ""


@pytest.mark.parametrize("setting", ["0", "1"])
def test_the_users_choice_about_cupys_version_stays(monkeypatch, setting):
    monkeypatch.setenv("CHAINER_WARN_VERSION_MISMATCH", setting)
    done = python("import os, chainfpn, chainer; print(os.environ['CHAINER_WARN_VERSION_MISMATCH'])")
    assert done.stdout.strip() == setting
