"""Write a .pth without torch: the zip of torch.save, an OrderedDict of tensors, loadable with ``weights_only=True``."""

import struct
import zipfile

import numpy as np

from weights_convert.errors import CheckpointError
from weights_convert.write.npz import EPOCH, raw_bytes

_STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}

#: torch aligns storages to this many bytes in the file, so that they can be mapped.
_ALIGNMENT = 64

_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def write_torch_zip(f, shapes, read):
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
            array = read(name)
            _add(archive, f, f"archive/data/{i}", raw_bytes(array.astype(array.dtype.newbyteorder("<"), copy=False)))
        _add(archive, f, "archive/version", b"3\n")


def _add(archive, f, name, data):
    info = zipfile.ZipInfo(name, EPOCH)
    info.external_attr = 0o644 << 16
    begin = f.tell() + 30 + len(name) + 4  # local header, name, and the header of the padding field
    info.extra = struct.pack("<2H", 0x4246, padding := -begin % _ALIGNMENT) + b"Z" * padding
    archive.writestr(info, data)


def _pickle(shapes):
    pieces = [b"\x80\x02", _ORDERED_DICT, b"("]
    for i, (name, (shape, dtype)) in enumerate(shapes.items()):
        pieces += [_text(name), _tensor(str(i), shape, dtype)]
    return b"".join([*pieces, b"u."])


def _tensor(key, shape, dtype):
    numel = int(np.prod(shape, dtype=np.int64))
    strides = [int(np.prod([max(n, 1) for n in shape[i + 1 :]], dtype=np.int64)) for i in range(len(shape))]
    storage = [_text("storage"), f"ctorch\n{_STORAGES[dtype]}\n".encode(), _text(key), _text("cpu"), _integer(numel)]
    arguments = [b"(", *storage, b"tQ", _integer(0), _tuple(shape), _tuple(strides), b"\x89", _ORDERED_DICT, b"t"]
    return b"".join([b"ctorch._utils\n_rebuild_tensor_v2\n(", *arguments, b"R"])


def _text(text):
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(value):
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def _tuple(values):
    return b"(" + b"".join(_integer(int(value)) for value in values) + b"t"
