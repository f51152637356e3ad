"""Where the ops run: compiled CPU kernels, NumPy fallback, CUDA text behind the shim, and a GPU."""

import pathlib

import numpy as np
import pytest

from chainfpn.functions import kernels
from chainfpn.functions.kernels import cpu_ops, cuda_launch, cuda_ops, numpy_engine
from reference.cuda_shim import CudaShim, find_compiler

#: Where the compiled CUDA text is kept.
FOLDER = pathlib.Path(__file__).parents[2] / ".pytest_cache" / "cuda_shim"


@pytest.fixture(scope="session")
def cuda_shim():
    """Return the CUDA text compiled as C++; skip where no C++ compiler is."""
    if find_compiler() is None:
        pytest.skip("no C++ compiler")
    instances = [
        f"{kernel}<{scalar}, {index}>"
        for kernel in cuda_launch.kernel_names()
        for scalar in cuda_launch.TYPES.values()
        for index in ("int", "long long")
        if not (kernel.startswith("nms") and scalar == "half16")
    ]
    return CudaShim(cuda_launch.source(), instances, FOLDER)


def launched_with(monkeypatch, **constants):
    """Change constants of ``cuda_launch``; return a list that takes the name of each kernel launched from then on."""
    names, get_kernel = [], cuda_launch.get_kernel
    monkeypatch.setattr(cuda_launch, "get_kernel", lambda name, device: names.append(name) or get_kernel(name, device))
    for name, value in constants.items():
        monkeypatch.setattr(cuda_launch, name, value)
    return names


#: Where the CUDA text runs.
CUDA = ("shim", pytest.param("gpu", marks=pytest.mark.gpu))


@pytest.fixture(params=["numba", "numpy", *CUDA])
def device(request, monkeypatch):
    """Send the ops to one of the places they can run at; give NumPy or CuPy, whichever the arrays there are."""
    if request.param == "gpu":
        return pytest.importorskip("cupy")
    if request.param == "numba":
        pytest.importorskip("numba")
    if request.param == "numpy":
        monkeypatch.setattr(cpu_ops, "engine", lambda: numpy_engine)
    if request.param == "shim":
        shim = request.getfixturevalue("cuda_shim")
        monkeypatch.setattr(cuda_launch, "get_kernel", shim.get_kernel)
        monkeypatch.setattr(kernels, "cpu_ops", cuda_ops)
    return np
