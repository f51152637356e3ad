"""Fixtures and markers shared by every test."""

import os
import pathlib

import pytest

import chainfpn  # noqa: F401  (first, so that Chainer imports in every test module)
from reference.torchvision_live import torchvision_live  # noqa: F401  (a fixture)

#: Trained weights, photographs and small datasets that are not part of the repository.
SHARED_DATA = pathlib.Path(
    os.environ.get("CHAINFPN_SHARED_DATA", pathlib.Path(__file__).parents[2] / "shared" / "data")
)


@pytest.fixture(scope="session")
def shared_data():
    """Give the folder of shared test data; skip where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no folder of shared test data (CHAINFPN_SHARED_DATA names one)")
    return SHARED_DATA


def pytest_collection_modifyitems(items):
    """Skip the tests marked gpu where Chainer sees no CUDA device, and those marked network unless asked for."""
    from chainer.backends import cuda

    no_gpu = pytest.mark.skip(reason="no CUDA device")
    no_network = pytest.mark.skip(reason="uses the network: set CHAINFPN_NETWORK=1 to run it")
    has_gpu = cuda.available and cuda.cupy.cuda.runtime.getDeviceCount() > 0
    for item in items:
        if "gpu" in item.keywords and not has_gpu:
            item.add_marker(no_gpu)
        if "network" in item.keywords and os.environ.get("CHAINFPN_NETWORK") != "1":
            item.add_marker(no_network)
