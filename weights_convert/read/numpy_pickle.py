"""NumPy arrays, scalars and dtypes as pickles describe them, rebuilt without NumPy's own functions."""

from typing import Any

from weights_convert._typing import Shape
from weights_convert.errors import CheckpointError, translate
from weights_convert.read.placeholders import Blob
from weights_convert.read.rebuild import Rebuilt
from weights_convert.read.tensor import NUMPY_NAMES, Storage, Tensor, Unsupported, itemsize

_NAMES = NUMPY_NAMES | {"?": "bool", "c8": "complex64", "c16": "complex128"}


class NumpyDtype(Rebuilt):
    """A NumPy dtype as pickled: a code such as ``f4``, then a byte order."""

    __slots__ = ("byteorder", "code")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.byteorder = code, "<"
        if isinstance(code, str) and code[:1] in "<>|=":
            self.code, self.byteorder = code[1:], ">" if code[0] == ">" else "<"

    def set_state(self, state: Any) -> None:
        """Take the byte order."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            self.byteorder = ">"

    def name(self) -> str | None:
        """Return the name of `DTYPES` it stands for, or ``None``."""
        return _NAMES.get(self.code) if isinstance(self.code, str) else None


class NumpyArray(Rebuilt):
    """A NumPy array as pickled. `value` is a `Tensor`, or an `Unsupported` where the dtype is none of a tensor."""

    __slots__ = ("value",)

    def __init__(self, *_: Any) -> None:
        self.value: Tensor | Unsupported = Unsupported("an array without content")

    def set_state(self, state: Any) -> None:
        """Take shape, dtype, order and bytes."""
        with translate((TypeError, ValueError), "the pickle has an array whose state is not one"):
            _, shape, dtype, fortran, data = state
            self.value = _array(shape, dtype, fortran, data)


def _array(shape: Shape, dtype: Any, fortran: Any, data: Any) -> Tensor | Unsupported:
    if not isinstance(dtype, NumpyDtype) or not isinstance(shape, tuple):
        raise CheckpointError("the pickle has an array without a dtype or a shape")
    name = dtype.name()
    if name is None:
        return Unsupported(
            f"a NumPy array of dtype {dtype.code[:20] if isinstance(dtype.code, str) else 'of no name'!r}"
        )
    data = latin1(data) if isinstance(data, str) else data
    data = Blob(memoryview(data)) if isinstance(data, bytes) else data
    if not isinstance(data, Blob):
        raise CheckpointError("the pickle has an array whose content is not bytes")
    storage = Storage(name, len(data.view) // itemsize(name), data.bytes, dtype.byteorder)
    if data.is_text:  # at least as many bytes as are meant, which are counted when they are read
        storage.numel = min(storage.numel, Tensor(storage, shape).size)
    return Tensor(storage, shape, fortran=bool(fortran))


def scalar(dtype: Any, data: Any = b"") -> NumpyArray:
    """Return what ``numpy.core.multiarray.scalar`` stands for."""
    return from_buffer(data, dtype, (), "C")


def from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> NumpyArray:
    """Return what ``numpy.core.numeric._frombuffer`` stands for."""
    result = NumpyArray()
    result.value = _array(shape, dtype, order == "F", data)
    return result


def latin1(text: str) -> bytes:
    """Return the bytes that protocol 2 wrote as text."""
    with translate(UnicodeEncodeError, "the pickle has bytes written as text that is not latin-1"):
        return text.encode("latin-1")
