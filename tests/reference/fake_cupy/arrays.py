"""Arrays that live on a device which is the host: what CuPy refuses, they refuse."""

import types

import numpy as np

from reference.fake_cupy import graphs, streams
from reference.fake_cupy.counting import LAUNCH, SYNC, UPLOAD, note
from reference.fake_cupy.graphs import launches
from reference.fake_cupy.names import ARRAY_NAMES

#: CuPy's own sentence.
IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
)


class Device:
    """The only device."""

    compute_capability = "90"
    id = 0

    def __init__(self, device=0):
        assert int(device or 0) == 0

    def __int__(self):
        return 0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def __eq__(self, other):
        return isinstance(other, Device)

    def __hash__(self):
        return 0

    def use(self):
        pass

    def synchronize(self):
        note(SYNC, "Device.synchronize")
        streams.synchronize_device()


def _of_host(name):
    return property(lambda self: getattr(self._host, name))


class ndarray:
    """An array of the fake: ``host`` is the NumPy array behind it. Fresh memory is full of NaN."""

    __array_priority__ = 100
    __hash__ = None

    dtype, ndim, size, itemsize, nbytes = map(_of_host, ("dtype", "ndim", "size", "itemsize", "nbytes"))
    strides, flags, base = map(_of_host, ("strides", "flags", "base"))

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        assert (memptr, strides) == (None, None)
        self._host = np.empty(shape, dtype, order)
        if self._host.dtype.kind in "fc":
            self._host.fill(np.nan)
        graphs.allocated(self._host)
        streams.touch(self._host)

    def __getattr__(self, name):
        if name.startswith("__") or name not in ARRAY_NAMES:
            raise AttributeError(f"cupy.ndarray has no attribute {name}")
        return lambda *args, **options: getattr(_cupy(), name)(self, *args, **options)

    @property
    def host(self):
        streams.touch(self._host)
        return self._host

    @property
    def shape(self):
        return self._host.shape

    @shape.setter
    def shape(self, value):
        self._host.shape = value

    @property
    def device(self):
        return Device()

    @property
    def data(self):
        streams.touch(self._host)
        return types.SimpleNamespace(ptr=self._host.ctypes.data, device=Device(), device_id=0, mem=self)

    @property
    def T(self):
        return wrap(self._host.T)

    @property
    def real(self):
        return self

    # what NumPy tries

    def __array__(self, *args, **options):
        raise TypeError(IMPLICIT)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        function = getattr(_cupy(), ufunc.__name__)
        function = function if method == "__call__" else getattr(function, method)
        return function(*inputs, **options) if out is None else function(*inputs, out=out[0], **options)

    def __array_function__(self, function, kinds, args, options):
        return getattr(_cupy(), function.__name__)(*args, **options)

    # what waits for the device

    def _fetch(self, what):
        note(SYNC, what, self.nbytes)
        host = self.host
        streams.current().synchronize_host()
        return host

    def __bool__(self):
        return bool(self._fetch("bool"))

    def __int__(self):
        return int(self._fetch("int"))

    def __float__(self):
        return float(self._fetch("float"))

    def __index__(self):
        return self._fetch("index").__index__()

    def __format__(self, spec):
        return format(self._fetch("format"), spec)

    def __repr__(self):
        return repr(self._fetch("repr"))

    def item(self, *args):
        return self._fetch("item").item(*args)

    def tolist(self):
        return self._fetch("tolist").tolist()

    def get(self, stream=None, order="C", out=None, blocking=True):
        host = self._fetch(f"get {self.shape} {self.dtype}")
        if out is None:
            return host.copy(order)
        out[...] = host
        return out

    def set(self, array, stream=None):
        note(UPLOAD, "set", array.nbytes)
        if stream is None or not streams.is_page_locked(array):  # which makes the host wait
            self.host[...] = array
            return
        assert (array.dtype, array.shape) == (self.dtype, self.shape)
        with stream:
            host = self.host
        stream.enqueue(lambda: np.copyto(host, array))

    def __reduce__(self):
        return _from_pickle, (self.get(),)

    # elements

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    @launches
    def __getitem__(self, index):
        index, has_arrays = self._host_index(index)
        if has_arrays:
            note(LAUNCH, "gather")
        found = self.host[index]
        return wrap(found if isinstance(found, np.ndarray) else self.host[(*index, ...)])  # one element is a view, too

    @launches
    def __setitem__(self, index, value):
        index, has_arrays = self._host_index(index)
        if isinstance(value, np.ndarray):
            if value.ndim and not has_arrays:
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            note(UPLOAD, "fill", value.nbytes)
        note(LAUNCH, "scatter" if has_arrays else "fill")
        self.host[index] = value.host if isinstance(value, ndarray) else value

    def _host_index(self, index):
        """Return the index for the array behind, as a tuple, and whether there is an array in it."""
        found = []
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, ndarray):
                if part.dtype == bool:
                    note(SYNC, "index by a mask")
                elif part.dtype.kind not in "iu":
                    raise IndexError("arrays used as indices must be of integer or boolean type")
                part = part.host
            elif isinstance(part, np.ndarray | list):
                note(UPLOAD, "index from the host")
                part = np.asarray(part)
            found.append(part)
        return tuple(found), any(isinstance(part, np.ndarray) for part in found)

    @launches
    def scatter_add(self, index, value):
        note(LAUNCH, "scatter_add")
        np.add.at(self.host, self._host_index(index)[0], value.host if isinstance(value, ndarray) else value)

    @launches
    def fill(self, value):
        note(LAUNCH, "fill")
        self.host.fill(value)

    # copies and views

    @launches
    def copy(self, order="C"):
        note(LAUNCH, "copy")
        return wrap(self.host.copy(order))

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    @launches
    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and self.dtype == np.dtype(dtype):
            return self
        note(LAUNCH, "astype")
        with np.errstate(all="ignore"):
            return wrap(self.host.astype(dtype, order))

    @launches
    def reshape(self, *shape, order="C"):
        y = self.host.reshape(*shape, order=order)
        if y.size and not np.shares_memory(y, self.host):
            note(LAUNCH, "copy by reshape")
        return wrap(y)

    def ravel(self, order="C"):
        return self.reshape(-1, order=order)

    def view(self, dtype=None):
        return wrap(self._host.view() if dtype is None else self._host.view(dtype))

    def transpose(self, *axes):
        return wrap(self._host.transpose(*axes))

    def swapaxes(self, a, b):
        return wrap(self._host.swapaxes(a, b))

    def argsort(self, axis=-1):  # before CuPy 14 only the function knows ``kind``
        return _cupy().argsort(self, axis)

    def squeeze(self, axis=None):
        return wrap(self._host.squeeze(axis))

    def reduced_view(self, dtype=None):
        return self


def wrap(result):
    """Return what NumPy made as the fake's: arrays and scalars become arrays, in lists and tuples as well."""
    if isinstance(result, list | tuple):
        return type(result)(map(wrap, result))
    if not isinstance(result, np.ndarray | np.generic):
        return result
    array = object.__new__(ndarray)
    array._host = np.asarray(result)
    if array._host.base is None:
        graphs.allocated(array._host)
    streams.touch(array._host, is_new=True)
    return array


def _from_pickle(host):
    note(UPLOAD, "unpickle", host.nbytes)
    return wrap(host)


def _cupy():
    """Import the module late: it is made of this class."""
    import cupy

    return cupy


def _operator(name, *, reflected=False, in_place=False):
    def run(self, other):
        if not isinstance(other, ndarray | np.ndarray | np.generic | bool | int | float | complex):
            return NotImplemented
        operation = getattr(_cupy(), name)
        if in_place:
            return operation(self, other, out=self)
        return operation(other, self) if reflected else operation(self, other)

    return run


_ARITHMETIC = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
}  # fmt: skip
_COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip
for _name, _ufunc in _ARITHMETIC.items():
    setattr(ndarray, f"__{_name}__", _operator(_ufunc))
    setattr(ndarray, f"__r{_name}__", _operator(_ufunc, reflected=True))
    setattr(ndarray, f"__i{_name}__", _operator(_ufunc, in_place=True))
for _name, _ufunc in _COMPARISONS.items():
    setattr(ndarray, f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in {"neg": "negative", "invert": "invert", "abs": "absolute", "pos": "positive"}.items():
    setattr(ndarray, f"__{_name}__", lambda self, ufunc=_ufunc: getattr(_cupy(), ufunc)(self))
