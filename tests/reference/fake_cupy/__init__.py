"""A strict stand-in for CuPy on a CPU: runs the GPU branches of a program, refuses what CuPy refuses, counts.

Its arrays are NumPy's behind a class that has only CuPy's names (of release 13 or 14), mixes with no NumPy array and
converts into none without ``get``. Kernels run as C++, a thread after the other; fresh memory is full of NaN; a stream
that does not wait for another is found out. What it cannot show: races, other devices, and the speed.

The tests run on it with ``CHAINFPN_FAKE_CUPY=14``, those marked ``gpu`` included::

    CHAINFPN_FAKE_CUPY=14 python -m pytest -m gpu

A program of one's own calls :func:`install` before it imports Chainer, and counts so::

    with fake_cupy.count() as counts:
        model.predict(imgs)
    print(counts.launches, counts.syncs, counts.table("sync"))
"""

import functools
import importlib.machinery
import os
import sys
import types

import numpy as np

from reference.fake_cupy import cublas, functions, kernels
from reference.fake_cupy.arrays import Device, ndarray
from reference.fake_cupy.counting import count
from reference.fake_cupy.graphs import MemoryPool, Stream, using_allocator
from reference.fake_cupy.names import VARIABLE, VERSION
from reference.fake_cupy.streams import Event, current, empty_pinned

__all__ = ["count", "install", "is_installed"]


class CUDARuntimeError(RuntimeError):
    """An error of the CUDA runtime."""


class Random:
    """``cupy.random``, by NumPy's global generator."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, dtype=None, **options: functions.array(getattr(np.random, name)(*args, **options), dtype)

    def seed(self, seed=None):
        pass


def _fuse(*args, **options):
    """Run a fused function unfused: its launches are those of its parts."""
    return args[0] if args and callable(args[0]) else lambda function: function


_CUPY = {
    "__version__": VERSION, "__getattr__": functions.find, "ndarray": ndarray, "random": Random(),
    "array": functions.array, "asarray": functions.asarray, "ascontiguousarray": functions.ascontiguousarray,
    "asnumpy": functions.asnumpy, "fuse": _fuse, "memoize": lambda for_each_device=False: functools.cache,
    "clear_memo": lambda: None, "ElementwiseKernel": kernels.ElementwiseKernel,
    "ReductionKernel": kernels.ReductionKernel, "RawModule": kernels.RawModule,
    "get_default_memory_pool": MemoryPool, "get_default_pinned_memory_pool": MemoryPool,
}  # fmt: skip
_RUNTIME = {
    "CUDARuntimeError": CUDARuntimeError, "getDeviceCount": lambda: 1, "getDevice": lambda: 0,
    "getDeviceProperties": lambda device: {"name": b"no device: a stand-in on the CPU"},
    "memGetInfo": lambda: (2**30, 2**30), "runtimeGetVersion": lambda: 13000, "driverGetVersion": lambda: 13000,
    "deviceSynchronize": Device().synchronize, "deviceGetAttribute": lambda attribute, device: {81: 233472}[attribute],
}  # fmt: skip


#: Modules ahead of those within them.
_MODULES = {
    "cupy": _CUPY,
    "cupy._util": {"PerformanceWarning": UserWarning},
    "cupy.cuda": {
        "Device": Device, "Event": Event, "Stream": Stream, "MemoryPointer": object,
        "MemoryPool": MemoryPool, "using_allocator": using_allocator,
        "get_current_stream": current, "get_cublas_handle": lambda: 1,
        "alloc": lambda size: ndarray(size, np.uint8).data, "get_elapsed_time": lambda begin, end: 1.0,
    },
    "cupy.cuda.cublas": {"sgemm": cublas.sgemm},
    "cupy.cuda.runtime": _RUNTIME,
    "cupyx": {"rsqrt": functions.rsqrt, "scatter_add": functions.scatter_add, "empty_pinned": empty_pinned},
    "cupyx.scipy": {},
    "cupyx.scipy.linalg": {},
    "cupyx.scipy.special": {},
}  # fmt: skip


def is_installed() -> bool:
    """Return whether ``cupy`` is the fake."""
    return getattr(sys.modules.get("cupy"), "ndarray", None) is ndarray


def install() -> None:
    """Make ``import cupy`` give the fake; to be called before Chainer is imported."""
    assert not {"cupy", "chainer"} & set(sys.modules)

    def get_array_module(*args):
        return sys.modules["cupy"] if any(isinstance(a, ndarray) for a in args) else np

    for name, contents in _MODULES.items():
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__path__ = module.__spec__.submodule_search_locations = []
        vars(module).update(contents)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    sys.modules["cupy"].get_array_module = get_array_module


def install_if_asked() -> None:
    """Install the fake where ``CHAINFPN_FAKE_CUPY`` names a release."""
    if VARIABLE in os.environ:
        install()
