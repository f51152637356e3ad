"""CuPy's functions, by NumPy's on the arrays behind."""

import functools

import numpy as np

from reference.fake_cupy.arrays import ndarray, wrap
from reference.fake_cupy.counting import LAUNCH, SYNC, UPLOAD, note
from reference.fake_cupy.graphs import launches, refuse_product
from reference.fake_cupy.names import MODULE_NAMES, SIGNATURES

#: Functions that learn the size of their result from the device.
WAITING = {
    "argwhere", "array_equal", "bincount", "compress", "delete", "extract", "flatnonzero", "nonzero", "trim_zeros",
    "unique",
}  # fmt: skip
#: Functions that launch nothing.
FREE = {
    "atleast_1d", "atleast_2d", "broadcast_arrays", "broadcast_to", "empty", "empty_like", "expand_dims", "isscalar",
    "meshgrid", "moveaxis", "ndim", "promote_types", "ravel", "reshape", "result_type", "rollaxis", "shape", "size",
    "split", "squeeze", "swapaxes", "transpose",
}  # fmt: skip
#: Products of matrices.
PRODUCTS = {"dot", "matmul", "tensordot"}
#: Arguments that are sizes or places, which CuPy takes from the host.
HOST_ARGUMENTS = {"split"}


def find(name):
    """Make what the module has under a name: by NumPy's function of this name, if CuPy has one."""
    if name.startswith("__") or name not in MODULE_NAMES:
        raise AttributeError(f"module 'cupy' has no attribute '{name}'")
    found = getattr(np, name)
    if isinstance(found, np.ufunc):
        return UFunc(name)
    if isinstance(found, type) or not callable(found):
        return found
    return functools.partial(_call, name)


def to_host(value, name):
    """Return the NumPy array behind a value, also in lists; refuse an array of the host."""
    if isinstance(value, ndarray):
        return value.host
    if isinstance(value, np.ndarray):
        raise TypeError(f"cupy.{name}: Unsupported type <class 'numpy.ndarray'> (shape {value.shape})")
    if isinstance(value, list | tuple):
        return type(value)(to_host(v, name) for v in value)
    return value


def _numpy_function(name):
    """Return NumPy's function; a product of float16 is summed in float32, as on a GPU, and so is not slow."""
    function = getattr(np, name)
    if name not in PRODUCTS:
        return function

    def run(a, b, *args, out=None, **options):
        refuse_product()
        if a.dtype == b.dtype == np.float16:
            y = function(a.astype(np.float32), b.astype(np.float32), *args, **options).astype(np.float16)
        else:
            y = function(a, b, *args, **options)
        if out is not None:
            out[...] = y
        return y

    return run


@launches
def _call(name, *args, out=None, **options):
    unknown = set(options) - set(SIGNATURES.get(name) or options)
    if unknown:
        raise TypeError(f"cupy.{name}() got an unexpected keyword argument {unknown}")
    if name not in FREE:
        note(LAUNCH, name)
    if name in WAITING or (name == "where" and len(args) == 1):
        note(SYNC, name)
    if name in ("argsort", "sort"):
        if options.get("kind") not in (None, "stable"):
            raise ValueError(f"cupy.{name}: only stable sorts are supported")
        options["kind"] = "stable"
    args = [x if name in HOST_ARGUMENTS and isinstance(x, np.ndarray) else to_host(x, name) for x in args]
    options = {key: to_host(value, name) for key, value in options.items()}
    if out is not None:
        options["out"] = to_host(out, name)
    with np.errstate(all="ignore"):
        result = _numpy_function(name)(*args, **options)
    if name in ("empty", "empty_like"):
        return ndarray(result.shape, result.dtype)
    if any(result is a for a in args):
        result = result.view()
    return wrap(result) if out is None else out


class UFunc:
    """A ufunc."""

    def __init__(self, name):
        self.__name__ = name
        self._numpy = getattr(np, name)
        self._function = _numpy_function(name)

    @launches
    def __call__(self, *args, out=None, **options):
        note(LAUNCH, self.__name__)
        if len(args) > self._numpy.nin:
            *args, out = args
        inputs = [to_host(x, self.__name__) for x in args]
        for x in inputs:
            if not isinstance(x, np.ndarray | np.generic | bool | int | float | complex):
                raise TypeError(f"cupy.{self.__name__}: Unsupported type {type(x)}")
        with np.errstate(all="ignore"):
            if out is None:
                return wrap(self._function(*inputs, **options))
            self._function(*inputs, out=to_host(out, self.__name__), **options)
        return out

    @launches
    def at(self, array, index, value=None):
        note(LAUNCH, f"{self.__name__}.at")
        rest = () if value is None else (to_host(value, self.__name__),)
        self._numpy.at(array.host, array._host_index(index)[0], *rest)

    @launches
    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        note(LAUNCH, f"{self.__name__}.reduce")
        return wrap(self._numpy.reduce(array.host, axis, dtype, keepdims=keepdims))


@launches
def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """Copy to the device."""
    if isinstance(obj, ndarray):
        if not copy and (dtype is None or obj.dtype == np.dtype(dtype)):
            return obj
        note(LAUNCH, "array")
        return wrap(np.array(obj.host, dtype, order=order, ndmin=ndmin))
    if isinstance(obj, list | tuple) and any(isinstance(x, ndarray) for x in obj):
        note(LAUNCH, "array")
        return wrap(np.array([to_host(x, "array") for x in obj], dtype, ndmin=ndmin))
    host = np.array(obj, dtype, ndmin=ndmin)
    note(UPLOAD, "array", host.nbytes)
    return wrap(host)


def asarray(a, dtype=None, order=None, *, blocking=False):
    """Copy to the device what is not there."""
    return array(a, dtype, copy=False)


@launches
def ascontiguousarray(a, dtype=None):
    """Copy what is not contiguous, not of the dtype, or not on the device."""
    if not isinstance(a, ndarray):
        return array(np.ascontiguousarray(a, dtype))
    if a.flags.c_contiguous and (dtype is None or a.dtype == np.dtype(dtype)):
        return a
    note(LAUNCH, "ascontiguousarray")
    return wrap(np.ascontiguousarray(a.host, dtype))


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    """Copy to the host."""
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a)


@launches
def rsqrt(x, dtype=None):
    """Return 1 / sqrt(x)."""
    note(LAUNCH, "rsqrt")
    with np.errstate(all="ignore"):
        return wrap((1 / np.sqrt(x.host)).astype(dtype or x.dtype))


def scatter_add(a, index, value):
    """Add at places, of which some may be equal."""
    a.scatter_add(index, value)
