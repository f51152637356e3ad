"""Write a .safetensors: a JSON header, then the bytes, widest elements first so that all are aligned."""

import json
import struct

import numpy as np

from weights_convert.meta import meta_text
from weights_convert.write.npz import raw_bytes

_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}


def write_safetensors(f, shapes, read, meta):
    """Write tensors into an open file.

    Args:
        f (file): Open for writing in binary.
        shapes (dict): ``{torch name: (shape, dtype name)}``.
        read (callable): Gives the array of a name; called once for each.
        meta (dict): Goes into the header as JSON text, under ``chainfpn``.
    """
    order = sorted(shapes, key=lambda name: (-np.dtype(shapes[name][1]).itemsize, name))
    header, position = {"__metadata__": {"format": "pt", "chainfpn": meta_text(meta)}}, 0
    for name in order:
        shape, dtype = shapes[name]
        end = position + int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        header[name] = {"dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    f.write(struct.pack("<Q", len(text)) + text)
    for name in order:
        array = read(name)
        f.write(raw_bytes(array.astype(array.dtype.newbyteorder("<"), copy=False)))
