"""Write a .pth without torch: the zip of torch.save, an OrderedDict of tensors, loadable with ``weights_only=True``."""

import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import BinaryIO

from weights_convert._typing import Array, Shape
from weights_convert.errors import CheckpointError
from weights_convert.read.tensor import DTYPES, STORAGES, c_strides
from weights_convert.write.npz import member_info, raw_bytes, write_pieces

#: Element types that old readers know, too -> their storage classes.
_STORAGES = {d: f"{p}Storage" for p, d in STORAGES.items() if d in DTYPES and d != "bfloat16"}

#: torch aligns storages to this many bytes in the file, so that they can be mapped.
_ALIGNMENT = 64

_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def write_torch_zip(f: BinaryIO, shapes: Mapping[str, tuple[Shape, str]], read: Callable[[str], Array]) -> None:
    """Write a state dict into an open file.

    Args:
        f (file): Open for writing in binary.
        shapes (dict): ``{torch name: (shape, dtype name)}``, in this order.
        read (callable): Gives the array of a name; called once for each.

    Raises:
        CheckpointError: if torch has no storage for a dtype.
    """
    for name, (_, dtype) in shapes.items():
        if dtype not in _STORAGES:
            raise CheckpointError(f"{name} has dtype {dtype}, which a .pth cannot hold")
    with zipfile.ZipFile(f, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _add(archive, f, "archive/data.pkl", _pickle(shapes))
        _add(archive, f, "archive/byteorder", b"little")
        for i, name in enumerate(shapes):
            _add(archive, f, f"archive/data/{i}", raw_bytes(read(name), "<"))
        _add(archive, f, "archive/version", b"3\n")


def _add(archive: zipfile.ZipFile, f: BinaryIO, name: str, data: bytes | memoryview) -> None:
    info = member_info(name)
    begin = f.tell() + 30 + len(name) + 4  # local header, name, and the header of the padding field
    info.extra = struct.pack("<2H", 0x4246, padding := -begin % _ALIGNMENT) + b"Z" * padding
    info.file_size = len(data)
    with archive.open(info, "w") as member:
        write_pieces(member, data)


def _pickle(shapes: Mapping[str, tuple[Shape, str]]) -> bytes:
    pieces = [b"\x80\x02", _ORDERED_DICT, b"("]
    for i, (name, (shape, dtype)) in enumerate(shapes.items()):
        pieces += [pickle_text(name), _tensor(str(i), shape, dtype)]
    return b"".join([*pieces, b"u."])


def _tensor(key: str, shape: Shape, dtype: str) -> bytes:
    kind, numel = f"ctorch\n{_STORAGES[dtype]}\n".encode(), _integer(math.prod(shape))
    storage = [pickle_text("storage"), kind, pickle_text(key), pickle_text("cpu"), numel]
    arguments = [_integer(0), pickle_integers(shape), pickle_integers(c_strides(shape)), b"\x89", _ORDERED_DICT]
    return b"".join([b"ctorch._utils\n_rebuild_tensor_v2\n((", *storage, b"tQ", *arguments, b"tR"])


def pickle_text(text: str) -> bytes:
    """Return the part of a pickle that makes a text."""
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if value < 1 << 31 else b"\x8a\x08" + struct.pack("<q", value)


def pickle_integers(values: Shape) -> bytes:
    """Return the part of a pickle that makes a tuple of whole numbers."""
    return b"(" + b"".join(map(_integer, values)) + b"t"
