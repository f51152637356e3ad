"""Tensors as a file describes them: where the bytes are, and how to look at them. Nothing is read until asked for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from weights_convert._typing import Array, Shape
from weights_convert.errors import CheckpointError

#: Element types by torch's name -> NumPy's code. bfloat16 has no equal in NumPy: it is widened to float32, exactly.
DTYPES = {
    "float16": "f2", "bfloat16": "u2", "float32": "f4", "float64": "f8", "int8": "i1", "int16": "i2", "int32": "i4",
    "int64": "i8", "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "bool": "u1",
}  # fmt: skip

#: NumPy's code -> torch's name.
NUMPY_NAMES = {code: name for name, code in DTYPES.items() if name not in ("bfloat16", "bool")} | {"b1": "bool"}

#: Element types that are known by name and refused, and their sizes: NumPy or Chainer has nothing to hold them.
REFUSED_DTYPES = {
    "complex32": 4, "complex64": 8, "complex128": 16, "qint8": 1, "quint8": 1, "qint32": 4, "quint4x2": 1,
    "quint2x4": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1, "float4_e2m1fn_x2": 1,
}  # fmt: skip

#: torch's storage classes, without the word Storage -> their element types.
STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128", "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32", "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
}  # fmt: skip

#: A view that repeats its elements (stride 0) may be this many bytes larger than what is stored.
MAX_REPEATED = 64 << 20

_MAX_NDIM = 32


def itemsize(dtype: str) -> int:
    """Return the size in bytes of one element of ``dtype`` (a name of `DTYPES` or `REFUSED_DTYPES`)."""
    return int(DTYPES[dtype][1]) if dtype in DTYPES else REFUSED_DTYPES[dtype]


@dataclass(slots=True, eq=False)
class Storage:
    """A run of elements in a file.

    Attributes:
        dtype (str): A name of `DTYPES` or `REFUSED_DTYPES`; ``None`` for bare bytes.
        numel (int): How many elements the file claims.
        load (callable or None): Returns the bytes; ``None`` until their place in the file is known.
        byteorder (str): ``"<"`` or ``">"``.
        free (callable or None): Called by `release`.
        load_unverified (callable or None): Returns the bytes and the CRC-32 they should have, or ``(None, 0)``.
    """

    dtype: str | None
    numel: int
    load: Callable[[], memoryview] | None = None
    byteorder: str = "<"
    free: Callable[[], None] | None = None
    load_unverified: Callable[[], tuple[memoryview | None, int]] | None = None

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return 1 if self.dtype is None else itemsize(self.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, as claimed."""
        return self.numel * self.itemsize

    def bytes(self) -> memoryview:
        """Return the bytes, exactly `nbytes` of them."""
        data = self.load() if self.load is not None else memoryview(b"")
        if len(data) < self.nbytes:
            raise CheckpointError(f"a storage claims {self.nbytes} bytes but the file has {len(data)}")
        return data[: self.nbytes]

    def unverified(self) -> tuple[memoryview | None, int]:
        """Return exactly `nbytes` bytes that nobody has verified and their CRC-32, or ``(None, 0)``."""
        data, crc = self.load_unverified() if self.load_unverified is not None else (None, 0)
        return (data, crc) if data is not None and len(data) == self.nbytes else (None, 0)

    def release(self) -> None:
        """Let go of the memory behind the bytes; they can be read again."""
        if self.free is not None:
            self.free()


class Tensor:
    """A strided view of a storage.

    Args:
        storage (Storage): What it looks at.
        shape (sequence of int): Its shape.
        strides (sequence of int or None): In elements; ``None`` means C order.
        offset (int): First element.
        dtype (str or None): Where it is not the storage's.
        fortran (bool): Whether the order without strides is Fortran's.

    Attributes:
        source_name (str): What it is called in the file; empty where its values are not those of the file.

    Raises:
        CheckpointError: if it reaches beyond the storage, or repeats its elements beyond reason.
    """

    __slots__ = ("dtype", "offset", "shape", "source_name", "storage", "strides")

    def __init__(
        self,
        storage: Storage,
        shape: Sequence[int],
        strides: Sequence[int] | None = None,
        offset: int = 0,
        dtype: str | None = None,
        *,
        fortran: bool = False,
    ) -> None:
        if len(shape) > _MAX_NDIM:
            raise CheckpointError(f"a tensor has {len(shape)} axes, more than {_MAX_NDIM}")
        self.storage, self.shape, self.offset = storage, tuple(shape), offset
        self.dtype, self.source_name = dtype or storage.dtype or "uint8", ""
        if strides is None:
            strides = c_strides(self.shape[::-1])[::-1] if fortran else c_strides(self.shape)
        self.strides = tuple(strides)
        self._check()

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of `array`'s elements as stored (bfloat16 counts two)."""
        return self.size * itemsize(self.dtype)

    def _check(self) -> None:
        integers = (*self.shape, *self.strides, self.offset)
        if len(self.shape) != len(self.strides) or not all(type(v) is int and 0 <= v < 1 << 48 for v in integers):
            raise CheckpointError(f"a tensor has shape {_short(self.shape)} and strides {_short(self.strides)}")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        available = self.storage.nbytes // itemsize(self.dtype)
        shown = f"a tensor of shape {_short(self.shape)}"
        if self.size and last >= available:
            raise CheckpointError(f"{shown} needs {last + 1} elements but its storage has {available}")
        if self.nbytes > self.storage.nbytes + MAX_REPEATED:
            raise CheckpointError(f"{shown} claims {self.nbytes} bytes of {self.storage.nbytes}")

    def unverified(self) -> tuple[Array | None, int]:
        """Return the array in place and the CRC-32 its bytes should have, or ``(None, 0)`` where that cannot be."""
        whole = self.offset == 0 and self.size == self.storage.numel and self.strides == c_strides(self.shape)
        code = DTYPES.get(self.dtype, "")
        native = np.dtype(self.storage.byteorder + code).isnative if code else False
        if not whole or not native or self.dtype in ("bfloat16", "bool") or self.dtype != self.storage.dtype:
            return None, 0
        data, crc = self.storage.unverified()
        return (None, 0) if data is None else (np.frombuffer(data, code).reshape(self.shape), crc)

    def array(self, *, aligned: bool = True) -> Array:
        """Return the values: in place where memory order allows, native byte order, bfloat16 widened to float32.

        Args:
            aligned (bool): Whether values that lie at odd places in the file are copied to even ones.
        """
        if self.dtype not in DTYPES:
            raise CheckpointError(f"has dtype {self.dtype}, which no Chainer model can hold")
        flat = np.frombuffer(self.storage.bytes(), f"{self.storage.byteorder}{DTYPES[self.dtype]}")
        strides = [s * flat.itemsize for s in self.strides]
        array = np.lib.stride_tricks.as_strided(flat[self.offset :] if self.size else flat[:0], self.shape, strides)
        if self.dtype == "bfloat16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        if self.dtype == "bool":
            return array != 0
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if array.flags.c_contiguous and (array.flags.aligned or not aligned):
            return array
        return array.copy()


class Unsupported:
    """Something in the place of a tensor that is known and refused, and has no shape.

    Args:
        reason (str): Continues "<key> is ...".
    """

    __slots__ = ("reason", "source_name")
    shape: Shape = ()

    def __init__(self, reason: str) -> None:
        self.reason, self.source_name = reason, ""


def from_array(array: Array) -> Tensor:
    """Wrap a NumPy array that is in memory already."""
    array = np.ascontiguousarray(array).reshape(np.shape(array))
    name = "bool" if array.dtype == bool else array.dtype.name
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    data = little.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
    return Tensor(Storage(name, array.size, lambda: data), array.shape)


def c_strides(shape: Shape) -> Shape:
    """Return the strides, in elements, of a C-ordered array of ``shape``."""
    strides, step = list[int](), 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def _short(values: Shape) -> str:
    text = str(tuple(value if type(value) is int else "?" for value in values[:6]))  # all of a value may be without end
    return text if len(values) <= 6 else text[:-1] + ", ...)"
