"""NumPy's .npz: what this tool writes, and ChainerCV's and Chainer's own files. Pickled entries are never unpickled."""

import io
import json

import numpy as np

from weights_convert.errors import CheckpointError
from weights_convert.read.tensor import DTYPES, REFUSED_DTYPES, Storage, Tensor, Unsupported

FORMAT = "npz"
META = "__meta__"

_NAMES = {code: name for name, code in DTYPES.items() if name not in ("bfloat16", "bool")} | {"b1": "bool"}
_MAX_META = 1 << 20


def looks_like_npz(members):
    """Return whether every member is an .npy."""
    return bool(members) and all(name.endswith(".npy") for name in members)


def read_npz(members):
    """Return ``({name: Tensor}, meta)`` with ``meta`` the JSON of ``__meta__``, or ``None``."""
    tensors, meta = {}, None
    for name, member in members.items():
        key = name.removesuffix(".npy")
        if key == META:
            meta = _read_meta(member)
        else:
            tensors[key] = _read_entry(key, member)
    return tensors, meta


def _header(member):
    data = member.read()
    stream = io.BytesIO(bytes(data[:65536]))
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise CheckpointError(f"entry {member.name} has .npy version {version}")
        shape, fortran, dtype = read(stream)
    except CheckpointError:
        raise
    except (ValueError, SyntaxError, TypeError, KeyError, OverflowError, RecursionError, MemoryError, EOFError) as e:
        raise CheckpointError(f"entry {member.name} is not an .npy array") from e
    return data, stream.tell(), shape, fortran, dtype


def _read_entry(key, member):
    data, start, shape, fortran, dtype = _header(member)
    if dtype.hasobject:
        return Unsupported("a pickled Python object, which is not read (Chainer writes None that way)")
    name = _NAMES.get(dtype.str[1:])
    if name is None or name in REFUSED_DTYPES:
        return Unsupported(f"a NumPy array of dtype {dtype.str!r:.20}")
    storage = Storage(name, (len(data) - start) // dtype.itemsize, byteorder=">" if dtype.str[0] == ">" else "<")
    storage.place(lambda: member.read()[start:], member.release)
    if not fortran:
        return Tensor(storage, shape)
    return Tensor(storage, shape, Tensor(storage, shape[::-1]).strides[::-1])


def _read_meta(member):
    data, start, shape, _, dtype = _header(member)
    if dtype.kind != "U" or shape != () or len(data) - start != dtype.itemsize or dtype.itemsize > _MAX_META:
        raise CheckpointError(f"entry {META} is not one piece of text")
    try:
        meta = json.loads(str(np.frombuffer(data[start:], dtype)[0]))
    except (ValueError, RecursionError) as e:
        raise CheckpointError(f"entry {META} is not JSON") from e
    if not isinstance(meta, dict):
        raise CheckpointError(f"entry {META} is not a JSON object")
    return meta
