"""torch.save until 1.6, or with ``_use_new_zipfile_serialization=False``: pickles, then storages, in one stream."""

from collections.abc import Callable
from typing import Any

from weights_convert.errors import CheckpointError, translate
from weights_convert.read.pickle_machine import Machine
from weights_convert.read.rebuild import read_storage_key
from weights_convert.read.tensor import Storage

FORMAT = "torch legacy stream"

#: The first pickle of the stream.
MAGIC = 0x1950A86A20F9469CFC6C

_PROTOCOL = 1001


def view_of(root: Storage, offset: Any, numel: Any) -> Storage:
    """Return a part of a storage, whose place need not be known yet, as a storage of its own."""
    if type(offset) is not int or type(numel) is not int or offset < 0 or numel < 0 or offset + numel > root.numel:
        raise CheckpointError("the pickle has a view beyond its storage")
    return Storage(root.dtype, numel, lambda: root.bytes()[offset * root.itemsize :], free=root.release)


def place_next(storage: Storage, machine: Machine, release: Callable[[int, int], None]) -> None:
    """Give a storage the next bytes of a stream, which are read when they are needed."""
    view, start, end = machine.data, machine.position, machine.position + storage.nbytes
    if end > len(view):
        raise CheckpointError(f"a storage of {storage.nbytes} bytes goes beyond the end: the file is truncated")
    machine.position = end
    storage.load, storage.free = (lambda: view[start:end]), (lambda: release(start, end - start))


def read_torch_legacy(
    view: memoryview, release: Callable[[int, int], None] = lambda start, size: None, *, strict: bool = True
) -> tuple[Any, str]:
    """Return the object that ``torch.save`` was given, with `Tensor` for tensors, and what of it would be refused.

    Args:
        view (memoryview): The bytes, of a file or inside one.
        release (callable): Lets go of the memory behind some of them: takes where they start, and their number.
        strict (bool): Whether what would be refused is refused right here.
    """
    roots: dict[str | int, Storage] = {}  # before their place in the stream is known

    def persistent(key: Any) -> Any:
        if isinstance(key, tuple) and len(key) >= 2 and key[0] == "module":
            return key[1]  # a class with its source text, which nobody runs
        kind, name, numel = read_storage_key(key)
        root = roots.setdefault(name, Storage(kind.dtype, numel))
        if len(key) == 5 or key[5] is None:
            return root
        with translate((TypeError, ValueError), "the pickle has a view of a storage that is not one"):
            _, offset, numel = key[5]
        return view_of(root, offset, numel)

    machine = Machine(view, persistent=persistent)
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
    for name in names:
        if not isinstance(name, (str, int)) or name not in roots:
            raise CheckpointError("the file has a storage that no tensor uses")
        if machine.position + 8 > len(view):
            raise CheckpointError("the storages end early: the file is truncated")
        if (numel := machine.number("<q")) != roots[name].numel:
            raise CheckpointError(f"a storage of {roots[name].numel} elements is written with {numel}")
        place_next(roots[name], machine, release)
    for storage in roots.values():
        if storage.load is None and storage.numel:
            raise CheckpointError("a tensor's storage is missing: the file is truncated or damaged")
    return result, refused
