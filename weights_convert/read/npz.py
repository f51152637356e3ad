"""NumPy's .npz: what this tool writes, and ChainerCV's and Chainer's own files. Pickled entries are never unpickled."""

import json
import re
from collections.abc import Mapping

from weights_convert._typing import Json, Shape, Tensors
from weights_convert.errors import CheckpointError, translate
from weights_convert.read.tensor import NUMPY_NAMES, Storage, Tensor, Unsupported, itemsize
from weights_convert.read.zip_directory import Member

FORMAT = "npz"
META = "__meta__"

_MAX_META = 4 << 20
_MAX_HEADER = 10_000

#: What NumPy writes at the start of a plain array; Python 2 wrote numbers such as ``3L``.
_HEADER = re.compile(
    rb"\{'descr': '(?P<dtype>[<>|=][a-zA-Z]\d{0,9})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(?:\d{1,18}L?, ?)*(?:\d{1,18}L?)?)\),? ?\} *\n?"
)


def looks_like_npz(members: Mapping[str, Member]) -> bool:
    """Return whether every member is an .npy."""
    return bool(members) and all(name.endswith(".npy") for name in members)


def read_npz(members: Mapping[str, Member]) -> tuple[Tensors, Json | None]:
    """Return ``({name: Tensor}, meta)`` with ``meta`` the JSON of ``__meta__``, or ``None``."""
    tensors: Tensors = {}
    meta = None
    for name, member in members.items():
        key = name.removesuffix(".npy")
        if key == META:
            meta = _read_meta(member)
        else:
            tensors[key] = _read_entry(member)
    return tensors, meta


def _header(member: Member) -> tuple[int, Shape, bool, str]:
    """Return ``(start of the data, shape, Fortran order, dtype code)`` of an .npy, evaluating nothing."""
    data = bytes(member.peek(12 + _MAX_HEADER))
    if data[:6] != b"\x93NUMPY" or data[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise CheckpointError(f"entry {member.name} is not an .npy array")
    start = 10 if data[6] == 1 else 12
    length = int.from_bytes(data[8:start], "little")
    match = _HEADER.fullmatch(data[start : start + min(length, _MAX_HEADER)])
    if match is None:
        raise CheckpointError(f"entry {member.name} is not an .npy array of a plain dtype")
    shape = tuple(int(n.rstrip(b"L ")) for n in match["shape"].split(b",") if n.strip())
    return start + length, shape, match["fortran"] == b"True", match["dtype"].decode()


def _read_entry(member: Member) -> Tensor | Unsupported:
    start, shape, fortran, dtype = _header(member)
    if dtype == "|O":
        return Unsupported("a pickled Python object, which is not read (Chainer writes None that way)")
    name = NUMPY_NAMES.get(dtype[1:])
    if name is None:
        return Unsupported(f"a NumPy array of dtype {dtype!r}")
    numel, byteorder = max(member.size - start, 0) // itemsize(name), ">" if dtype[0] == ">" else "<"
    storage = Storage(name, numel, lambda: member.read()[start:], byteorder, member.release)
    return Tensor(storage, shape, fortran=fortran)


def _read_meta(member: Member) -> Json:
    start, shape, _, dtype = _header(member)
    if dtype[:2] not in ("<U", ">U") or shape != () or member.size - start > _MAX_META:
        raise CheckpointError(f"entry {META} is not one piece of text")
    with translate((ValueError, RecursionError), f"entry {META} is not JSON"):
        meta = json.loads(str(member.read()[start:], "utf-32-le" if dtype[0] == "<" else "utf-32-be").rstrip("\0"))
    if not isinstance(meta, dict):
        raise CheckpointError(f"entry {META} is not a JSON object")
    return meta
