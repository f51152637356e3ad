"""Fixtures and markers shared by every test."""

import os

import pytest

from reference import fake_cupy

os.environ.setdefault("CHAINFPN_CONV", "rules")  # the same bits in every process, and nothing is measured

fake_cupy.install_if_asked()  # first of all, for Chainer takes the CuPy it finds

from chainfpn import compat  # noqa: E402  (second, so that Chainer imports in every test module)
from reference import initial_weights  # noqa: E402
from reference.processes import mpi  # noqa: E402, F401  (a fixture)
from reference.shared_data import SHARED_DATA  # noqa: E402
from reference.torchvision_live import torchvision_live  # noqa: E402, F401  (a fixture)

# Networks are spared millions of random numbers, which the weights of a test replace or which it does not look at.
initial_weights.repeat_few()

#: What processes of tests run: one imports torch, which is not in this interpreter, the other the extra mpi.
collect_ignore = ["reference/kuangliu_networks.py", "reference/dying_process.py"]


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder of shared test data; skip where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no folder of shared test data (CHAINFPN_SHARED_DATA names one)")
    return SHARED_DATA


def pytest_configure(config):
    """Ignore what chainfpn.compat ignores, for pytest resets the filters before each test."""
    for shim in compat.TABLE:
        if isinstance(shim, compat.WarningFilter):
            line = f"ignore:{shim.name}:{shim.category.__name__}:{shim.module}"
            config.addinivalue_line("filterwarnings", line)


def has_gpu():
    """Return whether there is a CUDA device (Chainer's cuda.available asks for CuPy and its libraries only)."""
    from chainer.backends import cuda

    if not cuda.available:
        return False
    try:
        return cuda.cupy.cuda.runtime.getDeviceCount() > 0
    except cuda.cupy.cuda.runtime.CUDARuntimeError:  # no driver
        return False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what needs torchvision or processes that meet; skip gpu without a CUDA device, and network unless asked."""
    skips = {}
    if not has_gpu():
        skips["gpu"] = pytest.mark.skip(reason="no CUDA device")
    if not fake_cupy.is_installed():
        skips["fake_gpu"] = pytest.mark.skip(reason="not on the fake (CHAINFPN_FAKE_CUPY=14)")
    if os.environ.get("CHAINFPN_THOROUGH") != "1":
        skips["thorough"] = pytest.mark.skip(reason="like quicker ones: set CHAINFPN_THOROUGH=1 to run it")
    if os.environ.get("CHAINFPN_EXHAUSTIVE") != "1":
        skips["exhaustive"] = pytest.mark.skip(reason="like others, and large: set CHAINFPN_EXHAUSTIVE=1 to run it")
    if os.environ.get("CHAINFPN_NETWORK") != "1":
        skips["network"] = pytest.mark.skip(reason="uses the network: set CHAINFPN_NETWORK=1 to run it")
    for item in items:
        for fixture, marker in (("torchvision_live", pytest.mark.live), ("mpi", pytest.mark.slow)):
            if fixture in item.fixturenames:
                item.add_marker(marker)
        for marker, skip in skips.items():
            if item.get_closest_marker(marker):  # keywords also hold the names of folders
                item.add_marker(skip)
