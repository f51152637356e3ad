"""torch.save of 0.1.x: a tar with ``sys_info``, ``pickle``, ``storages`` and ``tensors``."""

import struct
import tarfile

from weights_convert.errors import CheckpointError
from weights_convert.read.allow_list import ALLOWED
from weights_convert.read.builder import StorageType
from weights_convert.read.pickle_machine import Machine
from weights_convert.read.tensor import DTYPES, Storage, Tensor

FORMAT = "torch tar (0.1.x)"

_MAX_ITEMS = 1_000_000

#: Tensor classes of 0.1.x, which the list of tensors names.
_TENSOR_TYPES = {
    (module, name.replace("Storage", "Tensor")): value
    for (module, name), value in ALLOWED.items()
    if isinstance(value, StorageType) and value.dtype in DTYPES
}


def read_torch_tar(source):
    """Return the object that ``torch.save`` was given, with `Tensor` for tensors."""
    parts = _find_parts(source)
    objects = {}
    _read_storages(source, *parts["storages"], objects)
    _read_tensors(source, *parts["tensors"], objects)

    def persistent(key):
        if isinstance(key, tuple) and key:
            return key[0]  # a class with its source text, which nobody runs
        number = _number(key)
        if number not in objects:
            raise CheckpointError("the pickle refers to a tensor that the file does not have")
        return objects[number]

    start, end = parts["pickle"]
    return Machine(source.view[start:end], persistent=persistent).load()


def _find_parts(source):
    try:
        with tarfile.open(source.path, mode="r:") as tar:
            parts = {
                m.name: (m.offset_data, m.offset_data + m.size)
                for m, _ in zip(tar, range(16), strict=False)
                if m.isreg()
            }
    except (tarfile.TarError, ValueError, EOFError, OverflowError) as e:
        raise CheckpointError("is a damaged tar") from e
    if not {"pickle", "storages", "tensors"} <= set(parts):
        raise CheckpointError("is a tar, but not one that torch 0.1 wrote; unpack it and convert the checkpoint inside")
    if max(end for _, end in parts.values()) > source.size:
        raise CheckpointError("is a tar that ends early: the file is truncated")
    return parts


def _number(value):
    try:
        return int(value)
    except (TypeError, ValueError) as e:
        raise CheckpointError("the pickle refers to a tensor by something that is no number") from e


def _count(machine):
    count = machine.load()
    if type(count) is not int or not 0 <= count < _MAX_ITEMS:
        raise CheckpointError(f"the file claims {count!r:.20} storages or tensors")
    return count


def _read_storages(source, start, end, objects):
    machine = Machine(source.view[start:end])
    for _ in range(_count(machine)):
        entry = machine.load()
        if (
            not isinstance(entry, tuple)
            or len(entry) != 3
            or not isinstance(entry[2], StorageType)
            or entry[2].dtype is None
        ):
            raise CheckpointError("the file has a storage without a type")
        numel = machine.number("<q")
        if numel < 0:
            raise CheckpointError("the file has a storage of negative size")
        storage = Storage(entry[2].dtype, numel)
        at = start + machine.position
        machine.take(storage.nbytes)
        _place(storage, source, at, storage.nbytes)
        objects[_number(entry[0])] = storage
    views = machine.load()
    if not isinstance(views, list):
        raise CheckpointError("the list of storage views is missing")
    for view in views:
        _add_view(objects, view)


def _place(storage, source, start, size):
    storage.place(lambda: source.view[start : start + size], lambda: source.release(start, size))


def _add_view(objects, view):
    if not isinstance(view, tuple) or len(view) != 4 or not all(type(v) is int for v in view[2:]):
        raise CheckpointError("the file has a view of a storage that is not one")
    root, (offset, numel) = objects.get(_number(view[1])), view[2:]
    if not isinstance(root, Storage) or offset < 0 or numel < 0 or offset + numel > root.numel:
        raise CheckpointError("the file has a view beyond its storage")
    result = Storage(root.dtype, numel)
    result.place(lambda: root.bytes()[offset * root.itemsize :], root.release)
    objects[_number(view[0])] = result


def _read_tensors(source, start, end, objects):
    machine = Machine(source.view[start:end], allowed=ALLOWED | _TENSOR_TYPES)
    for _ in range(_count(machine)):
        entry = machine.load()
        if not isinstance(entry, tuple) or len(entry) != 3:
            raise CheckpointError("the file has a tensor without a storage")
        storage = objects.get(_number(entry[1]))
        ndim = machine.number("<q") & 0xFFFFFFFF
        if not isinstance(storage, Storage) or ndim > 32:
            raise CheckpointError("the file has a tensor without a storage")
        numbers = struct.unpack(f"<{2 * ndim + 1}q", machine.take(8 * (2 * ndim + 1)))
        objects[_number(entry[0])] = Tensor(storage, numbers[:ndim], numbers[ndim : 2 * ndim], numbers[-1])
