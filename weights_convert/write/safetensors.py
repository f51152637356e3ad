"""Write a .safetensors: a JSON header, then the bytes, widest elements first so that all are aligned."""

import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy as np

from weights_convert._typing import Array, Json, Shape
from weights_convert.errors import CheckpointError
from weights_convert.meta import meta_text
from weights_convert.read.safetensors import DTYPES
from weights_convert.write.npz import raw_bytes, write_pieces

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def write_safetensors(
    f: BinaryIO, shapes: Mapping[str, tuple[Shape, str]], read: Callable[[str], Array], meta: Json
) -> None:
    """Write tensors into an open file.

    Args:
        f (file): Open for writing in binary.
        shapes (dict): ``{torch name: (shape, dtype name)}``.
        read (callable): Gives the array of a name; called once for each.
        meta (dict): Goes into the header as JSON text, under ``chainfpn``.
    """
    if "__metadata__" in shapes:
        raise CheckpointError("__metadata__ cannot be the name of a tensor in a .safetensors")
    order = sorted(shapes, key=lambda name: (-np.dtype(shapes[name][1]).itemsize, name))
    header: Json = {"__metadata__": {"format": "pt", "chainfpn": meta_text(meta)}}
    position = 0
    for name in order:
        shape, dtype = shapes[name]
        end = position + math.prod(shape) * np.dtype(dtype).itemsize
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    f.write(struct.pack("<Q", len(text)) + text)
    for name in order:
        write_pieces(f, raw_bytes(read(name), "<"))
