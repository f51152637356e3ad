"""NumPy arrays, scalars and dtypes as pickles describe them, rebuilt without NumPy's own functions."""

from weights_convert.errors import CheckpointError
from weights_convert.read.builder import Rebuilt
from weights_convert.read.inert import Blob
from weights_convert.read.tensor import DTYPES, Storage, Tensor, Unsupported, itemsize

_NUMPY_NAMES = {code: name for name, code in DTYPES.items() if name not in ("bfloat16", "bool")}
_NUMPY_NAMES |= {"b1": "bool", "?": "bool", "c8": "complex64", "c16": "complex128"}


class NumpyDtype(Rebuilt):
    """A NumPy dtype as pickled: a code such as ``f4``, then a byte order."""

    __slots__ = ("byteorder", "code")

    def __init__(self, code, *_):
        self.code, self.byteorder = code, "<"
        if isinstance(code, str) and code[:1] in "<>|=":
            self.code, self.byteorder = code[1:], ">" if code[0] == ">" else "<"

    def set_state(self, state):
        """Take the byte order."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            self.byteorder = ">"

    def name(self):
        """Return the name of `DTYPES` it stands for, or ``None``."""
        return _NUMPY_NAMES.get(self.code) if isinstance(self.code, str) else None


class NumpyArray(Rebuilt):
    """A NumPy array as pickled. `value` is a `Tensor`, or an `Unsupported` where the dtype is none of a tensor."""

    __slots__ = ("value",)

    def __init__(self, *_):
        self.value = Unsupported("an array without content")

    def set_state(self, state):
        """Take shape, dtype, order and bytes."""
        try:
            _, shape, dtype, fortran, data = state
        except (TypeError, ValueError) as e:
            raise CheckpointError("the pickle has an array whose state is not one") from e
        self.value = _array(shape, dtype, fortran, data)


def _array(shape, dtype, fortran, data):
    if not isinstance(dtype, NumpyDtype) or not isinstance(shape, tuple):
        raise CheckpointError("the pickle has an array without a dtype or a shape")
    if dtype.name() is None:
        return Unsupported(f"a NumPy array of dtype {str(dtype.code)[:20]!r}")
    storage = _storage_of(data, dtype.name(), dtype.byteorder)
    if isinstance(data, Blob) and data.is_text:
        storage.numel = min(storage.numel, Tensor(storage, shape).size)
    if not fortran:
        return Tensor(storage, shape)
    tensor = Tensor(storage, shape[::-1])
    return Tensor(storage, shape, tensor.strides[::-1])


def _storage_of(data, name, byteorder):
    if isinstance(data, str):
        data = latin1(data)
    if isinstance(data, bytes):
        data = Blob(memoryview(data))
    if not isinstance(data, Blob):
        raise CheckpointError("the pickle has an array whose content is not bytes")
    numel = len(data.view) // itemsize(name)  # at most, for bytes written as text: counted when they are read
    return Storage(name, numel, data.bytes, byteorder)


def scalar(dtype, data=b""):
    """Return what ``numpy.core.multiarray.scalar`` stands for."""
    result = NumpyArray()
    result.value = _array((), dtype, False, data)
    return result


def from_buffer(data, dtype, shape, order):
    """Return what ``numpy.core.numeric._frombuffer`` stands for."""
    result = NumpyArray()
    result.value = _array(shape, dtype, order == "F", data)
    return result


def latin1(text):
    """Return the bytes that protocol 2 wrote as text."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as e:
        raise CheckpointError("the pickle has bytes written as text that is not latin-1") from e
