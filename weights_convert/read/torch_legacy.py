"""torch.save until 1.6, or with ``_use_new_zipfile_serialization=False``: pickles, then storages, in one stream."""

import struct
from typing import Any, Protocol

from weights_convert.errors import CheckpointError, translate
from weights_convert.read.pickle_machine import Machine
from weights_convert.read.rebuild import read_storage_key
from weights_convert.read.tensor import Storage

FORMAT = "torch legacy stream"

#: The first pickle of the stream.
MAGIC = 0x1950A86A20F9469CFC6C

_PROTOCOL = 1001


class Readable(Protocol):
    """A file, or bytes in one."""

    view: memoryview
    size: int

    def release(self, start: int, size: int) -> None:
        """Let go of the memory behind some bytes."""


class _Storages:
    """The storages that the pickle mentions, before their place in the stream is known."""

    def __init__(self) -> None:
        self.roots: dict[str | int, Storage] = {}

    def refer(self, key: Any) -> Any:
        """Return the storage behind a persistent id."""
        if isinstance(key, tuple) and len(key) >= 2 and key[0] == "module":
            return key[1]  # a class with its source text, which nobody runs
        kind, name, numel = read_storage_key(key)
        root = self.roots.setdefault(name, Storage(kind.dtype, numel))
        if len(key) == 5 or key[5] is None:
            return root
        with translate((TypeError, ValueError), "the pickle has a view of a storage that is not one"):
            _, offset, numel = key[5]
        return view_of(root, offset, numel)


def view_of(root: Storage, offset: Any, numel: Any) -> Storage:
    """Return a part of a storage, whose place need not be known yet, as a storage of its own."""
    if type(offset) is not int or type(numel) is not int or offset < 0 or numel < 0 or offset + numel > root.numel:
        raise CheckpointError("the pickle has a view beyond its storage")
    return Storage(root.dtype, numel, lambda: root.bytes()[offset * root.itemsize :], free=root.release)


def read_torch_legacy(source: Readable, *, strict: bool = True) -> tuple[Any, str]:
    """Return the object that ``torch.save`` was given, with `Tensor` for tensors, and what of it would be refused.

    Args:
        source (Source): The file, or anything with its ``view`` and ``release``.
        strict (bool): Whether that is refused right here.
    """
    storages = _Storages()
    machine = Machine(source.view, persistent=storages.refer)
    if machine.load() != MAGIC:
        raise CheckpointError("is not a torch checkpoint: the magic number is wrong")
    if machine.load() != _PROTOCOL:
        raise CheckpointError("is a torch checkpoint of an unknown protocol")
    machine.load()  # sys_info: sizes and byte order of the writer; the storages are little-endian whatever it says
    result = machine.load(strict=strict)
    refused, machine.refused = machine.refused, ""
    names = machine.load()
    if not isinstance(names, list):
        raise CheckpointError("the list of storages is missing: the file is truncated or damaged")
    position = machine.position
    for name in names:
        if not isinstance(name, (str, int)) or name not in storages.roots:
            raise CheckpointError("the file has a storage that no tensor uses")
        position = _place(source, storages.roots[name], position)
    for storage in storages.roots.values():
        if not storage.placed and storage.numel:
            raise CheckpointError("a tensor's storage is missing: the file is truncated or damaged")
    return result, refused


def _place(source: Readable, storage: Storage, position: int) -> int:
    if position + 8 > source.size:
        raise CheckpointError("the storages end early: the file is truncated")
    (numel,) = struct.unpack_from("<q", source.view, position)
    start, end = position + 8, position + 8 + storage.nbytes
    if numel != storage.numel:
        raise CheckpointError(f"a storage of {storage.numel} elements is written with {numel}")
    if end > source.size:
        raise CheckpointError(f"a storage of {storage.nbytes} bytes goes beyond the end: the file is truncated")
    storage.place(lambda: source.view[start:end], lambda: source.release(start, end - start))
    return end
