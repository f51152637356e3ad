"""Write an .npz one array at a time, so that memory stays small; the same input gives the same bytes."""

import io
import zipfile
import zlib

import numpy as np

from weights_convert.crc import combine
from weights_convert.errors import CheckpointError

#: The time stamp of every member: that of no file in particular.
EPOCH = (1980, 1, 1, 0, 0, 0)


def write_npz(f, names, read, meta_array, *, compress=False):
    """Write arrays into an open file.

    Args:
        f (file): Open for writing in binary.
        names (iterable of str): In this order.
        read (callable): Gives the array of a name, and the CRC-32 that its bytes should have or ``None``; called once
            for each.
        meta_array (callable): Gives the array that goes last, as ``__meta__``.
        compress (bool): Deflate; float weights shrink by some 8 %.

    Raises:
        CheckpointError: if the bytes of an array are not what their checksum says.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(f, "w", method, allowZip64=True) as archive:
        for name in names:
            _add(archive, name, *read(name), method)
        _add(archive, "__meta__", meta_array(), None, method)


def raw_bytes(array):
    """Return the bytes of an array in C order, in place where it is in C order already."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b""


def _add(archive, name, array, crc, method):
    info = zipfile.ZipInfo(f"{name}.npy", EPOCH)
    info.compress_type = method
    info.external_attr = 0o644 << 16
    header = io.BytesIO()
    description = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(header, description)
    with archive.open(info, "w", force_zip64=array.nbytes > 1 << 30) as member:
        member.write(header.getvalue())
        member.write(raw_bytes(array))
    if crc is not None and combine(zlib.crc32(header.getvalue()), crc, array.nbytes) != info.CRC:
        raise CheckpointError(f"{name}: the source is damaged: its checksum is wrong")
