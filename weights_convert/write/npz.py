"""Write an .npz one array at a time, so that memory stays small; the same input gives the same bytes."""

import io
import zipfile
import zlib
from collections.abc import Callable, Iterable
from typing import IO, Any, BinaryIO

import numpy as np

from weights_convert._typing import Array
from weights_convert.crc import combine
from weights_convert.errors import CheckpointError
from weights_convert.read.npz import META
from weights_convert.read.zip_directory import is_member_name

_PIECE = 8 << 20


def write_arrays(
    f: BinaryIO,
    names: Iterable[str],
    read: Callable[[str], tuple[Array, int | None]],
    meta_array: Callable[[], Array],
    *,
    compress: bool = False,
) -> None:
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
            if name == META or not is_member_name(name):
                raise CheckpointError(f"{name} cannot be the name of an array in an .npz")
            _add(archive, name, *read(name), method)
        _add(archive, META, meta_array(), None, method)


def raw_bytes(array: Array, byteorder: str | None = None) -> bytes | memoryview:
    """Return the bytes of an array in C order, in place where they are so already."""
    if byteorder is not None:
        array = array.astype(array.dtype.newbyteorder(byteorder), copy=False)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b""


def write_pieces(f: IO[bytes], data: bytes | memoryview) -> None:
    """Write data a piece at a time, so that a signal need not wait for all of it."""
    for start in range(0, len(data), _PIECE):
        f.write(data[start : start + _PIECE])


def member_info(name: str) -> zipfile.ZipInfo:
    """Return what a zip says of a member: that of no time in particular, so that equal input gives equal bytes."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = 0o644 << 16
    return info


def _add(archive: zipfile.ZipFile, name: str, array: Array, crc: int | None, method: int) -> None:
    info = member_info(f"{name}.npy")
    info.compress_type = method
    header = io.BytesIO()
    description: dict[str, Any] = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(header, description)
    with archive.open(info, "w", force_zip64=array.nbytes > 1 << 30) as member:
        member.write(header.getvalue())
        write_pieces(member, raw_bytes(array))
    if crc is not None and combine(zlib.crc32(header.getvalue()), crc, array.nbytes) != info.CRC:
        raise CheckpointError(f"{name}: the source is damaged: its checksum is wrong")
