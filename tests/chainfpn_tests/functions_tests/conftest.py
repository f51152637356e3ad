"""Fixtures of the tests of operations."""

import importlib.util

import pytest

from chainfpn.functions.kernels import cpu_ops, numpy_engine
from reference.devices import cuda_shim, device  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def numpy_where_numba_is_missing():
    """Run these tests on NumPy without the warning, which has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("numba") is None:
            patch.setattr(cpu_ops, "engine", lambda: numpy_engine)
        yield
