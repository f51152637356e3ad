"""What CuPy misses of CUDA when that comes as wheels, and what Chainer says about CuPy releases newer than itself."""

import importlib.util
import pathlib

from chainfpn.compat.shims import Library, Patch, Setting, WarningFilter


def _cupy_without_cudnn() -> bool:
    """Whether CuPy is installed and has no cuDNN bindings (CuPy itself is not imported)."""
    spec = importlib.util.find_spec("cupy")
    if spec is None or spec.submodule_search_locations is None:
        return False
    return not any(any(pathlib.Path(folder).glob("cudnn.*")) for folder in spec.submodule_search_locations)


#: The CUDA 12 libraries that the CuPy 13 wheel loads by name, each after those it needs itself.
_LIBRARIES = (
    "libcudart.so.12",
    "libnvrtc.so.12",
    "libnvJitLink.so.12",
    "libcublas.so.12",
    "libcusparse.so.12",
    "libcusolver.so.11",
    "libcurand.so.10",
    "libcufft.so.11",
    "libcudnn.so.8",
    "libnccl.so.2",
)

#: ChainerMN's kernels that gather parameters: CuPy's headers do not bring ``half`` any more.
_HALF = {"#include <cupy/carray.cuh>": "#include <cuda_fp16.h>\n#include <cupy/carray.cuh>"}

CUPY = (
    *(
        Library(
            name,
            since="CuPy 13, which does not look into NVIDIA's wheels",
            needed_by="cupy-cuda12x 13, from the extra cuda12x",
            stand_in="the file from the nvidia-*-cu12 wheel",
        )
        for name in _LIBRARIES
    ),
    Setting(
        "CHAINER_WARN_VERSION_MISMATCH",
        since="CuPy 8",
        needed_by="chainer: _environment_check",
        stand_in="0 unless set: no warning about CuPy's version",
        value="0",
    ),
    Setting(
        "CHAINER_CUDNN",
        since="CuPy 14",
        needed_by="chainer: backends/cuda",
        stand_in="0 unless set, where CuPy has no cuDNN: no advice to install it",
        value="0",
        applies=_cupy_without_cudnn,
    ),
    *(
        Patch(
            f"chainermn.communicators._memory_utility:_cupy_batched_{what}_params",
            since="CuPy 14",
            needed_by="chainermn: the communicator pure_nccl",
            stand_in="the header that declares half",
            replace=_HALF,
            applies=_cupy_without_cudnn,
        )
        for what in ("pack", "unpack")
    ),
    WarningFilter(
        "cupy.cudnn is deprecated",
        since="CuPy 13",
        needed_by="chainer: backends/cuda",
        category=DeprecationWarning,
        module=r"cupy\.cudnn",
    ),
    WarningFilter(
        r"\s*nccl library could not be loaded",
        since="CuPy 8, without NCCL",
        needed_by="chainer: training/updaters/multiprocess_parallel_updater, which alone uses NCCL",
        category=UserWarning,
        module=r"cupy\._environment",
    ),
)
