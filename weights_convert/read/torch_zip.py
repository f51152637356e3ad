"""torch.save since 1.6: a zip with ``<name>/data.pkl`` and one member per storage."""

from collections.abc import Mapping
from typing import Any

from weights_convert.errors import CheckpointError
from weights_convert.read.pickle_machine import Machine
from weights_convert.read.rebuild import read_storage_key
from weights_convert.read.tensor import Storage
from weights_convert.read.zip_directory import Member

#: A pickle of tensors without their values is small; this bounds what a deflated one may become.
MAX_PICKLE = 256 << 20

FORMAT = "torch zip"

_A_PROGRAM = "is a {} archive, a program with weights in it; load it with {} and save its state_dict() with torch.save"


def read_torch_zip(members: Mapping[str, Member]) -> tuple[Any, str]:
    """Return the object that ``torch.save`` was given, with `Tensor` for tensors, and what of it would be refused.

    Args:
        members (dict): From `weights_convert.read.zip_directory.read_directory`.
    """
    prefix = _find_prefix(members)
    byteorder = _read_byteorder(members.get(f"{prefix}byteorder"))
    storages: dict[str, Storage] = {}

    def persistent(key: Any) -> Storage:
        kind, name, numel = read_storage_key(key)
        name = str(name)
        if name not in storages:
            storages[name] = _storage(members, f"{prefix}data/{name}", kind, numel, byteorder)
        return storages[name]

    pickled = members[f"{prefix}data.pkl"]
    if pickled.size > MAX_PICKLE:
        raise CheckpointError(f"data.pkl claims {pickled.size} bytes, more than {MAX_PICKLE}")
    machine = Machine(pickled.read(), persistent=persistent, stored_size=pickled.stored_size)
    return machine.load(strict=False), machine.refused


def _find_prefix(members):
    prefixes = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(prefixes) != 1:
        raise CheckpointError("is a zip, but neither a torch checkpoint (no data.pkl) nor an .npz")
    prefix = prefixes[0]
    if f"{prefix}constants.pkl" in members or any(name.startswith(f"{prefix}code/") for name in members):
        raise CheckpointError(_A_PROGRAM.format("TorchScript", "torch.jit.load"))
    if f"{prefix}.data/extern_modules" in members or f"{prefix}.data/python_version" in members:
        raise CheckpointError(_A_PROGRAM.format("torch.package", "torch.package"))
    return prefix


def _read_byteorder(member):
    if member is None:
        return "<"
    text = bytes(member.read()[:16])
    if text not in (b"little", b"big"):
        raise CheckpointError(f"byteorder is {text!r}, neither little nor big")
    return "<" if text == b"little" else ">"


def _storage(members, name, kind, numel, byteorder):
    if name not in members:
        raise CheckpointError(f"storage {name} is missing from the zip")
    member = members[name]
    storage = Storage(kind.dtype, numel, member.read, byteorder, member.release, member.unverified)
    if member.size < storage.nbytes:
        raise CheckpointError(f"storage {name} claims {storage.nbytes} bytes but the zip has {member.size}")
    return storage
