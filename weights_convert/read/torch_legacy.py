"""torch.save until 1.6, or with ``_use_new_zipfile_serialization=False``: pickles, then storages, in one stream."""

import struct

from weights_convert.errors import CheckpointError
from weights_convert.read.builder import StorageType
from weights_convert.read.pickle_machine import Machine
from weights_convert.read.tensor import Storage

FORMAT = "torch legacy stream"

#: The first pickle of the stream.
MAGIC = 0x1950A86A20F9469CFC6C

_PROTOCOL = 1001


class _Storages:
    """The storages that the pickle mentions, before their place in the stream is known."""

    def __init__(self):
        self.roots, self.views = {}, []

    def refer(self, key):
        """Return the storage behind a persistent id."""
        if not isinstance(key, tuple) or not key:
            raise CheckpointError("the pickle refers to something that is not a storage")
        if key[0] == "module" and len(key) >= 2:
            return key[1]  # a class with its source text, which nobody runs
        if key[0] != "storage" or len(key) < 5 or not isinstance(key[1], StorageType):
            raise CheckpointError("the pickle refers to something that is not a storage")
        _, kind, name, _, numel = key[:5]
        if type(numel) is not int or numel < 0 or not isinstance(name, (str, int)):
            raise CheckpointError("the pickle refers to a storage without a name or a size")
        root = self.roots.setdefault(name, Storage(kind.dtype, numel))
        view = key[5] if len(key) > 5 else None
        return root if view is None else self._view(root, view)

    def _view(self, root, view):
        try:
            _, offset, numel = view
        except (TypeError, ValueError) as e:
            raise CheckpointError("the pickle has a view of a storage that is not one") from e
        if type(offset) is not int or type(numel) is not int or offset < 0 or numel < 0 or offset + numel > root.numel:
            raise CheckpointError("the pickle has a view beyond its storage")
        result = Storage(root.dtype, numel)
        self.views.append((result, root, offset))
        return result


def read_torch_legacy(source, start=0):
    """Return the object that ``torch.save`` was given, with `Tensor` for tensors.

    Args:
        source (Source): The file, or anything with its ``view`` and ``release``.
        start (int): Where the stream begins.
    """
    storages = _Storages()
    machine = Machine(source.view[start:], persistent=storages.refer)
    if machine.load() != MAGIC:
        raise CheckpointError("is not a torch checkpoint: the magic number is wrong")
    if machine.load() != _PROTOCOL:
        raise CheckpointError("is a torch checkpoint of an unknown protocol")
    machine.load()  # sys_info: sizes and byte order of the writer; the storages are little-endian whatever it says
    result = machine.load()
    names = machine.load()
    if not isinstance(names, list):
        raise CheckpointError("the list of storages is missing: the file is truncated or damaged")
    position = start + machine.position
    for name in names:
        if not isinstance(name, (str, int)) or name not in storages.roots:
            raise CheckpointError("the file has a storage that no tensor uses")
        position = _place(source, storages.roots[name], position)
    for storage in storages.roots.values():
        if not storage.placed and storage.numel:
            raise CheckpointError("a tensor's storage is missing: the file is truncated or damaged")
    for view, root, offset in storages.views:
        view.place(lambda r=root, o=offset: r.bytes()[o * r.itemsize :], root.release)
    return result


def _place(source, storage, position):
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
