"""torch.save of 0.1.x: a tar with ``sys_info``, ``pickle``, ``storages`` and ``tensors``."""

import struct
import tarfile
from typing import Any

from weights_convert.errors import CheckpointError, translate
from weights_convert.read.allow_list import ALLOWED
from weights_convert.read.pickle_machine import Machine
from weights_convert.read.rebuild import StorageType
from weights_convert.read.source import Source
from weights_convert.read.tensor import DTYPES, Storage, Tensor
from weights_convert.read.torch_legacy import place_next, view_of

FORMAT = "torch tar (0.1.x)"

_MAX_ITEMS = 1_000_000

#: Tensor classes of 0.1.x, which the list of tensors names.
_TENSOR_TYPES = {
    (module, name.replace("Storage", "Tensor")): value
    for (module, name), value in ALLOWED.items()
    if isinstance(value, StorageType) and value.dtype in DTYPES
}


def read_torch_tar(source: Source) -> tuple[Any, str]:
    """Return what ``torch.save`` was given, with `Tensor` for tensors, and what of it would be refused."""
    members = _find_members(source)
    objects: dict[int, Storage | Tensor] = {}
    _read_storages(source, *members["storages"], objects)
    _read_tensors(source, *members["tensors"], objects)

    def persistent(key: Any) -> Any:
        if isinstance(key, tuple) and key:
            return key[0]  # a class with its source text, which nobody runs
        number = _number(key)
        if number not in objects:
            raise CheckpointError("the pickle refers to a tensor that the file does not have")
        return objects[number]

    start, end = members["pickle"]
    machine = Machine(source.view[start:end], persistent=persistent)
    return machine.load(strict=False), machine.refused


def _find_members(source: Source) -> dict[str, tuple[int, int]]:
    errors = (tarfile.TarError, ValueError, EOFError, OverflowError)
    with translate(errors, "is a damaged tar"), tarfile.open(source.path, mode="r:") as tar:
        files = [m for m, _ in zip(tar, range(16), strict=False) if m.isreg()]
    members = {m.name: (m.offset_data, m.offset_data + m.size) for m in files}
    if not {"pickle", "storages", "tensors"} <= members.keys():
        raise CheckpointError("is a tar, but not one that torch 0.1 wrote; unpack it and convert the checkpoint inside")
    if max(end for _, end in members.values()) > source.size:
        raise CheckpointError("is a tar that ends early: the file is truncated")
    return members


def _number(value: Any) -> int:
    with translate(
        (TypeError, ValueError, OverflowError), "the pickle refers to a tensor by something that is no number"
    ):
        return int(value)


def _triples(machine: Machine) -> Any:
    """Yield the entries of a list, whose length goes before it; the caller reads what comes after each."""
    count = machine.load()
    if type(count) is not int or not 0 <= count < _MAX_ITEMS:
        raise CheckpointError("the file does not say how many storages or tensors it has, or claims a million")
    for _ in range(count):
        entry = machine.load()
        if not isinstance(entry, tuple) or len(entry) != 3:
            raise CheckpointError("the file has a storage or a tensor that is not one")
        yield entry


def _read_storages(source: Source, start: int, end: int, objects: dict[int, Any]) -> None:
    machine = Machine(source.view[start:end])
    for key, _, kind in _triples(machine):
        if not isinstance(kind, StorageType) or kind.dtype is None:
            raise CheckpointError("the file has a storage without a type")
        numel = machine.number("<q")
        if numel < 0:
            raise CheckpointError("the file has a storage of negative size")
        storage = objects[_number(key)] = Storage(kind.dtype, numel)
        place_next(storage, machine, lambda at, size: source.release(start + at, size))
    views = machine.load()
    if not isinstance(views, list):
        raise CheckpointError("the list of storage views is missing")
    for view in views:
        if not isinstance(view, tuple) or len(view) != 4:
            raise CheckpointError("the file has a view of a storage that is not one")
        objects[_number(view[0])] = view_of(_storage(objects, view[1]), *view[2:])


def _storage(objects: dict[int, Any], key: Any) -> Storage:
    storage = objects.get(_number(key))
    if not isinstance(storage, Storage):
        raise CheckpointError("the file has a tensor or a view without a storage")
    return storage


def _read_tensors(source: Source, start: int, end: int, objects: dict[int, Any]) -> None:
    machine = Machine(source.view[start:end], allowed=ALLOWED | _TENSOR_TYPES)
    for key, storage, _ in _triples(machine):
        ndim = machine.number("<q") & 0xFFFFFFFF
        numbers = struct.unpack(f"<{2 * ndim + 1}q", machine.take(8 * (2 * ndim + 1)))
        shape, strides = numbers[:ndim], numbers[ndim : 2 * ndim]
        objects[_number(key)] = Tensor(_storage(objects, storage), shape, strides, numbers[-1])
