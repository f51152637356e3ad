"""cuDNN 9's backend, called by ctypes: the library, its handles, and descriptors with their attributes."""

import contextlib
import contextvars
import ctypes
import functools
import glob
import importlib.util
import os
import weakref
from collections.abc import Iterator
from typing import Any

LIBRARY = "libcudnn.so.9"

#: cudnnBackendAttributeType_t with the C type of a value.
HANDLE, DATA_TYPE = (0, ctypes.c_void_p), (1, ctypes.c_int)
INT64, FLOAT, DOUBLE, POINTER = (3, ctypes.c_int64), (4, ctypes.c_float), (5, ctypes.c_double), (6, ctypes.c_void_p)
CONVOLUTION_MODE, HEUR_MODE, NOTE = (7, ctypes.c_int), (8, ctypes.c_int), (11, ctypes.c_int)
BOOLEAN, NAN_PROPAGATION, POINTWISE_MODE = (2, ctypes.c_bool), (10, ctypes.c_int), (14, ctypes.c_int)
DESCRIPTOR, BEHAVIOR = (15, ctypes.c_void_p), (19, ctypes.c_int)

#: Whether what cuDNN fails at is raised, where matrix products would replace it.
_is_strict = contextvars.ContextVar("is_strict", default=False)


class CudnnError(RuntimeError):
    """cuDNN is not there, or cannot do what it was told to."""


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Raise inside what cuDNN fails at, and learn nothing from it: while a graph is captured more may fail."""
    token = _is_strict.set(True)
    try:
        yield
    finally:
        _is_strict.reset(token)


def is_strict() -> bool:
    """Return whether this is inside of :func:`strict`."""
    return _is_strict.get()


@functools.cache
def library() -> ctypes.PyDLL:
    """Load cuDNN 9: that of the process, else that of NVIDIA's wheel, which PyTorch shares, else that of the system.

    It keeps the interpreter's lock, which makes a call cheap and keeps two threads from running one plan at once.

    Raises:
        CudnnError: if there is none.
    """
    cudnn = _load(LIBRARY)
    i64, pointer, number, size = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    cudnn.cudnnGetVersion.restype = cudnn.cudnnGetCudartVersion.restype = size
    cudnn.cudnnGetErrorString.restype, cudnn.cudnnGetErrorString.argtypes = ctypes.c_char_p, [number]
    cudnn.cudnnGetLastErrorString.argtypes = [pointer, size]
    cudnn.cudnnCreate.argtypes = cudnn.cudnnBackendFinalize.argtypes = [pointer]
    cudnn.cudnnBackendDestroyDescriptor.argtypes = [pointer]
    cudnn.cudnnSetStream.argtypes = [pointer, pointer]
    cudnn.cudnnBackendCreateDescriptor.argtypes = [number, pointer]
    cudnn.cudnnBackendSetAttribute.argtypes = [pointer, number, number, i64, pointer]
    cudnn.cudnnBackendGetAttribute.argtypes = [pointer, number, number, i64, pointer, pointer]
    cudnn.cudnnBackendExecute.argtypes = [pointer, pointer, pointer]
    return cudnn


def _load(name):
    spec = importlib.util.find_spec("nvidia")
    folders = (spec.submodule_search_locations if spec else None) or ()
    wheels = [path for folder in folders for path in glob.glob(f"{glob.escape(folder)}/*/lib/{name}")]
    reasons: list[str] = []
    places = ((name, os.RTLD_NOLOAD), *((path, 0) for path in (*wheels, name)))
    found = next(filter(None, (_open(*place, reasons) for place in places)), None)
    if found is None:
        raise CudnnError("; ".join(reasons[1:]))
    return found


def _open(path, mode, reasons):
    try:
        return ctypes.PyDLL(path, mode)
    except OSError as error:
        reasons.append(str(error))
        return None


def version() -> str:
    """Return the version of the library that is loaded, such as 9.28.0."""
    number = library().cudnnGetVersion()
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


@functools.cache
def handle(device: int, stream: int) -> int:
    """Return cuDNN's handle for a stream of the current device, made once."""
    _load(f"libcublasLt.so.{library().cudnnGetCudartVersion() // 1000}")  # cuDNN ends the process that lacks it
    found = ctypes.c_void_p()
    check("cudnnCreate", ctypes.byref(found))
    check("cudnnSetStream", found, stream)
    return found.value or 0


class Descriptor:
    """A descriptor of the backend, finalized with its attributes: (number, type, values). cuDNN fills an empty one."""

    def __init__(self, kind: int, *attributes: tuple[Any, ...]) -> None:
        found = ctypes.c_void_p()
        check("cudnnBackendCreateDescriptor", kind, ctypes.byref(found))
        self.pointer = found.value
        weakref.finalize(self, library().cudnnBackendDestroyDescriptor, self.pointer).atexit = False
        for number, (type_number, c_type), *values in attributes:
            plain = [v.pointer if isinstance(v, Descriptor) else v for v in values]
            array = (c_type * len(plain))(*plain)
            check("cudnnBackendSetAttribute", self.pointer, number, type_number, len(plain), array)
        if attributes:
            check("cudnnBackendFinalize", self.pointer)

    def get(self, number: int, kind: tuple[int, Any], most: int, values: list | tuple = ()) -> list:
        """Return up to ``most`` values of an attribute; cuDNN writes descriptors into those that ``values`` name."""
        count, found = ctypes.c_int64(), (kind[1] * most)(*values)
        out = found if most else None
        check("cudnnBackendGetAttribute", self.pointer, number, kind[0], most, ctypes.byref(count), out)
        return list(found[: count.value]) if most else [count.value]

    def get_descriptors(self, number: int, kind: int, count: int) -> "list[Descriptor]":
        """Return the descriptors of an attribute."""
        found = [Descriptor(kind) for _ in range(count)]
        if count:
            found = found[: len(self.get(number, DESCRIPTOR, count, [d.pointer for d in found]))]
        return found


def check(function: str, *arguments: Any) -> None:
    """Call a function of cuDNN; raise CudnnError with its reason if it fails."""
    status = getattr(library(), function)(*arguments)
    if status:
        reason = ctypes.create_string_buffer(1024)
        library().cudnnGetLastErrorString(reason, len(reason))
        text = f"{library().cudnnGetErrorString(status).decode()} {' '.join(reason.value.decode().split())}"
        raise CudnnError(f"{function}: {text}")
