"""Write a .pkl as detectron2 publishes its weights: NumPy arrays, pickled by hand, one in memory at a time."""

import math
import struct
from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy as np

from weights_convert._typing import Array, Shape
from weights_convert.write.npz import raw_bytes, write_pieces
from weights_convert.write.torch_zip import pickle_integers, pickle_text

#: Who has made the file: without this key detectron2 takes the names for Caffe2's.
_AUTHOR = "chainfpn"

_RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"


def write_pickle(f: BinaryIO, shapes: Mapping[str, tuple[Shape, str]], read: Callable[[str], Array]) -> None:
    """Write arrays into an open file: ``{"model": {name: array}, "__author__": ...}``.

    Args:
        f (file): Open for writing in binary.
        shapes (dict): ``{name: (shape, dtype name)}``, in this order.
        read (callable): Gives the array of a name; called once for each.
    """
    f.write(b"\x80\x04}(" + pickle_text("__author__") + pickle_text(_AUTHOR) + pickle_text("model") + b"}(")
    for name, (shape, dtype) in shapes.items():
        code = np.dtype(dtype).newbyteorder("<").str
        order = pickle_text(code[0]) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
        description = b"cnumpy\ndtype\n(" + pickle_text(code[1:]) + b"\x89\x88tR(K\x03" + order + b"tb"
        size = math.prod(shape) * np.dtype(dtype).itemsize
        f.write(pickle_text(name) + _RECONSTRUCT + b"(K\x01" + pickle_integers(shape) + description + b"\x89")
        f.write(b"\x8e" + struct.pack("<Q", size))
        write_pieces(f, raw_bytes(read(name), "<"))
        f.write(b"tb")
    f.write(b"uu.")
