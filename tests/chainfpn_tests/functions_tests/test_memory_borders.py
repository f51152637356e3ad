"""No thread of a RoI op reads or writes beyond an array: each ends where memory begins that nobody may touch."""

import ctypes
import faulthandler
import math
import mmap
import os
import sys
import types
import warnings

import chainer
import numpy as np
import pytest

from chainfpn.functions.kernels import cuda_align, cuda_launch, cuda_ops, geometry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mprotect and fork as Linux has them")

#: In the last corner of the map, where bins share pixels; of more pixels than a patch has room for; beyond the map.
ROIS = np.array([(24, 33, 29, 39), (0, 0, 29, 39), (20, 30, 60, 90)], np.float32)


def guarded(shape, dtype=np.float64):
    """Make an array full of zeros ahead of a page that ends a process which touches it."""
    n_bytes = math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
    room = -(-n_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, room + mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert not ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + room), mmap.PAGESIZE, 0)
    return np.frombuffer(memory, np.uint8)[room - n_bytes : room].view(dtype).reshape(shape)


def run_ops(n_channels, dtype):
    """Run each op and its gradient, with and without atomics."""
    p = geometry.RoIs(ROIS, np.zeros(len(ROIS), np.int32), (7, 7), 1.0, 2, True, False)
    for name in ("align", "pool", "ps_align", "ps_pool"):
        x = guarded((1, 49 if name.startswith("ps") else n_channels, 30, 40), dtype)
        y = getattr(cuda_ops, f"{name}_forward")(x, p)
        if name == "pool":
            continue  # whose gradient needs no window
        for deterministic in (False, True):
            with chainer.using_config("cudnn_deterministic", deterministic):
                getattr(cuda_ops, f"{name}_backward")(y, p, x.shape)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("n_channels", [6, 67])
def test_nothing_beyond_an_array_is_touched(n_channels, dtype, cuda_shim, monkeypatch):
    monkeypatch.setattr(cuda_launch, "get_kernel", cuda_shim.get_kernel)
    numpy = types.SimpleNamespace(**{**vars(np), "empty": guarded, "zeros": guarded})
    for module in (cuda_align, cuda_ops):
        monkeypatch.setattr(module, "backend", types.SimpleNamespace(get_array_module=lambda *arrays: numpy))
    assert ends_well(lambda: run_ops(n_channels, dtype))
    assert not ends_well(lambda: ctypes.memset(guarded(4, np.float32).ctypes.data + 16, 0, 1))


def ends_well(function):
    """Return whether a function ends without an error in a process of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forks of a process with threads, of which none is needed
        child = os.fork()
    if child == 0:
        faulthandler.disable()
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0
