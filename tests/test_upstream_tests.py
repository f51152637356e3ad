"""scripts/upstream_tests.py, on a small tree of the form of Chainer's checkout."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

TESTS = """
import unittest
import chainer  # before chainfpn
import chainer.functions as F
import numpy as np
import pytest
from chainer import testing

def test_spellings_of_numpy_1():
    assert np.zeros(1, np.bool).dtype == bool and np.float is float

@testing.parameterize({"n": 1}, {"n": 2})
class TestSum(unittest.TestCase):
    def test_sum(self):
        assert float(F.sum(np.ones(2, np.float32)).array) == self.n

@pytest.mark.gpu
def test_on_a_gpu():
    raise RuntimeError

@pytest.mark.skip
def test_skipped():
    pass

testing.run_module(__name__, __file__)
"""
SETTINGS = """
[tool:pytest]
filterwarnings =
    error
    ignore::chainer.warnings.PerformanceWarning
markers =
    gpu: a GPU
"""


@pytest.fixture
def upstream_tests(monkeypatch):
    """Give the script as a module; forget afterwards what it imported."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    before = set(sys.modules)
    import upstream_tests

    yield upstream_tests
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.slow
def test_passed_failed_skipped_and_why(upstream_tests, tmp_path):
    checkout, folder = tmp_path / "checkout", tmp_path / "work"
    folder.mkdir()
    (checkout / "tests" / "chainer_tests").mkdir(parents=True)
    (checkout / "chainer").mkdir()
    (checkout / "chainer" / "__init__.py").write_text("raise RuntimeError('the installed Chainer is tested')")
    (checkout / "tests" / "chainer_tests" / "test_some.py").write_text(TESTS)
    (checkout / "setup.cfg").write_text(SETTINGS)
    outcome = upstream_tests.run_suite(sys.executable, "chainer", checkout, folder, 1, pairwise=True, sample=1)
    assert outcome[:3] == (2, 1, 1), (folder / "output.txt").read_text()
    ((line, count),) = outcome.why.items()
    assert count == 1
    assert line.startswith("test_some.TestSum at tests/chainer_tests/test_some.py:15: AssertionError: assert 2.0 == 1")
    assert "np.bool" in (checkout / "tests" / "chainer_tests" / "test_some.py").read_text()  # the checkout stays


def test_every_interpreter_has_an_oldest_and_a_newest_numpy(upstream_tests):
    interpreters = upstream_tests.interpreters
    assert interpreters.numpy_requirements("3.11") == ("numpy==1.26.*", "numpy")
    assert interpreters.numpy_requirements("3.13") == ("numpy==2.1.*", "numpy")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert interpreters.python_version(interpreters.find_interpreters()[version]) == version
