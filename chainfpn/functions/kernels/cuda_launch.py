"""Compilation and launch of the CUDA code of this folder.

Each kernel is compiled by NVRTC when a process first needs it, for its dtype and index width: about 0.1 s. Launches go
to the current stream of the array's device.
"""

import functools
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np
from chainer.backends import cuda

from chainfpn._typing import Array
from chainfpn.functions.kernels import compute_dtype

#: In the order of compilation, as one source.
FILES = (
    "common.cu",
    "samples.cu",
    "pyramid.cu",
    "normalize.cu",
    "patch.cu",
    "roi_align.cu",
    "ps_roi_align.cu",
    "windows.cu",
    "nms.cu",
)

#: Without fused multiply-add coordinates are those of the CPU, to the last bit.
OPTIONS = ("--std=c++17", "--fmad=false")

#: C++ type of each dtype of a map.
TYPES = {np.dtype(np.float16): "half16", np.dtype(np.float32): "float", np.dtype(np.float64): "double"}

#: Threads beyond this many blocks of them take several elements each.
MAX_BLOCKS = 2**16

#: Indices below this fit into the faster kernels with 32-bit indices.
INT_LIMIT = 2**31

#: cudaDevAttrMaxSharedMemoryPerMultiprocessor.
MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = 81

#: The same where the text runs on a CPU.
SHARED_BYTES_OF_A_SHIM = 228 << 10

#: In place of an array: a null pointer.
NO_ARRAY = np.uintp(0)


@functools.cache
def source() -> str:
    """Read the CUDA code.

    Returns:
        str: All files in one.
    """
    return "\n".join(pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8") for name in FILES)


@functools.cache
def constant(name: str) -> int:
    """Read a number that the CUDA code defines, e.g. ``THREADS``."""
    (value,) = re.findall(rf"^#define {name} (\d+)$", source(), re.MULTILINE)
    return int(value)


def kernel_names() -> list[str]:
    """List the kernel templates."""
    return re.findall(r"__global__ void (\w+)", source())


@functools.cache
def get_kernel(name: str, device: int) -> Callable[..., None]:
    """Compile one instance of a template with CuPy.

    Args:
        name (str): For instance ``"align_forward<float, int>"``.
        device (int): The device it will run on.

    Returns:
        callable: Takes grid, block and arguments; launches on the current stream.
    """
    with cuda.cupy.cuda.Device(device):
        return cuda.cupy.RawModule(code=source(), options=OPTIONS, name_expressions=(name,)).get_function(name)


def launch(
    kernel: str,
    x: Array,
    n_blocks: int,
    *args: object,
    threads: int | None = None,
    shared_bytes: int = 0,
    others: Sequence[np.dtype] = (),
) -> None:
    """Run a kernel, each block of which takes one task, or several if they are many.

    Args:
        kernel (str): The template.
        x (array): What decides on the dtype and the device.
        n_blocks (int): Tasks; with none nothing runs.
        *args: Arrays, NumPy scalars, and what ``index`` and ``real`` mark.
        threads (int or None): Of a block; None takes the ``THREADS`` of common.cu.
        shared_bytes (int): Shared memory of a block beyond what the kernel names.
        others (sequence of dtype): Of the template's parameters after the index type.
    """
    if n_blocks == 0:
        return
    threads = threads or constant("THREADS")
    largest = max((n_blocks + MAX_BLOCKS) * threads, *(a.size for a in args if hasattr(a, "size")))
    index_dtype, index_type = (np.int32, "int") if largest < INT_LIMIT else (np.int64, "long long")
    real_dtype = compute_dtype(x.dtype).type
    args = tuple(a(index_dtype, real_dtype) if callable(a) else a for a in args)
    device = x.device.id if isinstance(x, cuda.ndarray) else -1
    types = (TYPES[x.dtype], index_type, *(TYPES[dtype] for dtype in others))
    run = get_kernel(f"{kernel}<{', '.join(types)}>", device)
    run((min(n_blocks, MAX_BLOCKS),), (threads,), args, shared_mem=shared_bytes)


def shared_bytes_per_multiprocessor(x: Array) -> int:
    """Return how much shared memory the blocks of a multiprocessor of an array's device have together."""
    return _shared_bytes(x.device.id) if isinstance(x, cuda.ndarray) else SHARED_BYTES_OF_A_SHIM


@functools.cache
def _shared_bytes(device):
    return cuda.cupy.cuda.runtime.deviceGetAttribute(MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, device)


def launch_each(kernel: str, x: Array, n: int, *args: object, others: Sequence[np.dtype] = ()) -> None:
    """Run a kernel once for each of n elements: as ``launch``, a thread an element."""
    launch(kernel, x, -(-n // constant("THREADS")), *args, others=others)


def index(value: int) -> Callable:
    """Mark an argument of the kernel's index type."""
    return lambda index, real: index(value)


def real(value: float) -> Callable:
    """Mark an argument of the kernel's real type."""
    return lambda index, real: real(value)


def on_its_device(function: Callable) -> Callable:
    """Run a function on the device of its first argument (array or list of them): results are allocated there, too."""

    @functools.wraps(function)
    def run(x, *args):
        with cuda.get_device_from_array(x[0] if isinstance(x, list | tuple) else x):
            return function(x, *args)

    return run
