"""safetensors: a JSON header and the bytes of the tensors."""

import json
import struct
from typing import Any

from weights_convert._typing import Json, Tensors
from weights_convert.errors import CheckpointError, translate
from weights_convert.read.source import Source
from weights_convert.read.tensor import Storage, Tensor, itemsize

FORMAT = "safetensors"

#: Bytes of a header, at most: one of 100,000 tensors has some 10 MB. The format itself allows 100 MB.
MAX_HEADER = 25_000_000

#: The format's name of an element type -> torch's; what cannot be written is at the end.
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "C64": "complex64",
}  # fmt: skip


def looks_like_safetensors(source: Source) -> bool:
    """Return whether the file begins as a safetensors file does."""
    view = source.view
    return source.size >= 10 and view[8] == ord("{") and struct.unpack_from("<Q", view)[0] <= MAX_HEADER


def read_safetensors(source: Source) -> tuple[Tensors, Json]:
    """Return ``({name: Tensor}, metadata)``."""
    (size,) = struct.unpack_from("<Q", source.view)
    if 8 + size > source.size:
        raise CheckpointError(f"the header claims {size} bytes: the file is truncated")
    with translate((ValueError, RecursionError), "the header is not JSON"):
        header = json.loads(bytes(source.view[8 : 8 + size]), object_pairs_hook=_refuse_duplicates)
    if not isinstance(header, dict):
        raise CheckpointError("the header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    places = {name: _offsets(name, entry, source.size - 8 - size) for name, entry in header.items()}
    last = 0
    for name, (begin, end) in sorted(places.items(), key=lambda item: item[1]):
        if begin < last:
            raise CheckpointError(f"tensor {name} overlaps another one")
        last = end
    tensors = {name: _tensor(source, name, entry, 8 + size, *places[name]) for name, entry in header.items()}
    return tensors, metadata if isinstance(metadata, dict) else {}


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> Json:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise CheckpointError("the header names something twice")
    return result


def _offsets(name: str, entry: Any, available: int) -> tuple[int, int]:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(v) is int for v in offsets):
        raise CheckpointError(f"tensor {name} has no offsets")
    begin, end = offsets
    if not 0 <= begin <= end <= available:
        raise CheckpointError(f"tensor {name} goes beyond the end: the file is truncated or damaged")
    return begin, end


def _tensor(source: Source, name: str, entry: Json, data: int, begin: int, end: int) -> Tensor:
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CheckpointError(f"tensor {name} has dtype {dtype!r:.20}, which is not known")
    if not isinstance(shape, list):
        raise CheckpointError(f"tensor {name} has no shape")
    start, size, dtype = data + begin, end - begin, DTYPES[dtype]
    load, free = (lambda: source.view[start : start + size]), (lambda: source.release(start, size))
    tensor = Tensor(Storage(dtype, size // itemsize(dtype), load, free=free), shape)
    if tensor.nbytes != size:
        raise CheckpointError(f"tensor {name} has shape {tuple(shape[:6])} and {size} bytes, which do not agree")
    return tensor
