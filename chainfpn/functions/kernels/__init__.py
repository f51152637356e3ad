"""Kernels: CUDA code (.cu), its compiled CPU counterparts (Numba) and the NumPy fallback."""

import contextlib
import contextvars
import functools
import importlib
from collections.abc import Iterator
from types import ModuleType

import chainer
import numpy as np

from chainfpn._typing import Array
from chainfpn.functions.kernels import freed_pages


def kernels_for(x: Array) -> ModuleType:
    """Return the module with the kernels for the device of an array: ``kernels.cpu_ops`` or ``kernels.cuda_ops``.

    Args:
        x (array): NumPy or CuPy.

    Returns:
        module: Both have the same functions.
    """
    if isinstance(x, np.ndarray):
        from chainfpn.functions.kernels import cpu_ops

        return cpu_ops
    from chainfpn.functions.kernels import cuda_ops

    return cuda_ops


#: Whether what Numba compiles is left alone.
_plain = contextvars.ContextVar("chainfpn_plain_numpy", default=False)


@contextlib.contextmanager
def plain_numpy() -> Iterator[None]:
    """Compute inside without Numba where NumPy can do it: for what runs once, and is not worth a compilation."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def import_compiled(name: str) -> ModuleType | None:
    """Return a module of this package that Numba compiles; None without Numba, or inside of :func:`plain_numpy`."""
    return None if _plain.get() else _import_compiled(name)


def import_for_inference(name: str, *arrays: Array) -> ModuleType | None:
    """Return the same for arrays of NumPy that need no gradient, float32 or float64, all of one dtype; else None."""
    dtypes = {a.dtype for a in arrays} if all(isinstance(a, np.ndarray) for a in arrays) else set()
    is_known = len(dtypes) == 1 and dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}
    return import_compiled(name) if is_known and not chainer.config.enable_backprop else None


@functools.cache
def _import_compiled(name):
    try:
        import numba  # noqa: F401
    except ImportError:
        return None
    freed_pages.keep()
    return importlib.import_module(f"{__name__}.{name}")


def for_compiled(a: Array, dtype: np.dtype | None = None) -> Array:
    """Return an array of NumPy as kernels are compiled for: C-contiguous, aligned and writable.

    Numba takes one that is read-only for another type: it would compile anew, or not at all what may write to it.
    """
    return np.require(np.asarray(a, dtype), None, ("C", "A", "W"))


def compute_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype sums and coordinates are computed in: float32, or float64 for float64."""
    return np.promote_types(dtype, np.float32)


def round_down(value: float, dtype: np.dtype) -> np.floating:
    """Return the largest number of a dtype that is not above a Python float.

    For ``v`` of that dtype, ``v > value`` is the same as ``v > round_down(value)``: torchvision compares its float32
    IoU with a double.

    Args:
        value (float): Any number.
        dtype (dtype): A float dtype.

    Returns:
        scalar: Of that dtype.
    """
    rounded = dtype.type(value)
    return np.nextafter(rounded, dtype.type(-np.inf)) if float(rounded) > value else rounded
