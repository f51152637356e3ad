"""Write a checkpoint in any format: all of it, or nothing."""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from weights_convert import param_names
from weights_convert._typing import Array, Json, PathLike
from weights_convert.errors import CheckpointError
from weights_convert.files import atomic_write
from weights_convert.meta import FORMAT, meta_array
from weights_convert.rules import rename_each
from weights_convert.write.npz import write_arrays
from weights_convert.write.pickle_file import write_pickle
from weights_convert.write.safetensors import write_safetensors
from weights_convert.write.torch_zip import write_torch_zip

#: Formats that can be written -> ending of the file's name.
FORMATS = {"npz": ".npz", "pth": ".pth", "safetensors": ".safetensors", "pkl": ".pkl"}

#: What a file has beside the values: names, shapes and the like of each tensor, and its ``__meta__``; rather too much.
_ABOUT_EACH, _ABOUT = 1 << 10, 1 << 20


def format_of(path: PathLike) -> str:
    """Return the format that the ending of a file's name stands for.

    Raises:
        CheckpointError: if it stands for none.
    """
    endings = {ending: name for name, ending in FORMATS.items()} | {".pt": "pth"}
    ending = os.path.splitext(path)[1]
    if ending not in endings:
        raise CheckpointError(f"{os.fspath(path)}: must end in {', '.join(endings)}, or --to must say what it shall be")
    return endings[ending]


def write_checkpoint(
    path: PathLike,
    mapped: Mapping[str, Any],
    read: Any,
    meta: Callable[[], Json],
    *,
    to: str = "npz",
    compress: bool = False,
    torch_names: Mapping[str, str] | None = None,
) -> None:
    """Write arrays to a file of format ``to``, atomically.

    Args:
        path (str or path): The file.
        mapped (dict): ``{npz name: [_, shape, dtype]}``.
        read (callable): Gives the array of an .npz name; for an .npz it has a method ``unverified``, too, which gives
            the array and the CRC-32 that its bytes should have, or ``None`` where they are known to be right.
        meta (callable): Gives the ``__meta__`` object; called once, as late as the format allows.
        to (str): One of `FORMATS`; an .npz has Chainer's names, the others torch's.
        compress (bool): Deflate an .npz.
        torch_names (dict or None): ``{npz name: torch's name}``; as the rule says by default.

    Raises:
        CheckpointError: if the file cannot be written, or two tensors would have one name in it.
    """
    to_torch = param_names.to_torch if torch_names is None else torch_names.__getitem__
    names = rename_each({name: name for name in mapped}, to_torch) if to != "npz" else {}
    shapes = {name: (tuple(mapped[own][1]), mapped[own][2]) for name, own in names.items()}
    sizes = (_ABOUT_EACH + math.prod(shape) * np.dtype(dtype).itemsize for _, shape, dtype in mapped.values())
    with atomic_write(path, 0 if compress else _ABOUT + sum(sizes)) as f:
        if to == "npz":
            write_arrays(f, mapped, read.unverified, lambda: meta_array(meta()), compress=compress)
        elif to in ("pth", "pkl"):
            write = write_torch_zip if to == "pth" else write_pickle
            write(f, shapes, lambda name: read(names[name]))
            meta()
        else:
            write_safetensors(f, shapes, lambda name: read(names[name]), meta())


def write_npz(
    path: PathLike, arrays: Mapping[str, Array], *, meta: Json | None = None, dtype: str | None = None
) -> None:
    """Write arrays to an .npz with a ``__meta__``; the file appears when it is complete, never before.

    Args:
        path (str or path): The file.
        arrays (dict): ``{name: array}``.
        meta (dict or None): What ``__meta__`` says: JSON values.
        dtype (str or None): What floating-point arrays are stored in, such as ``"float16"``; their own by default.

    Raises:
        CheckpointError: if the file cannot be written, or a number in ``meta`` is not finite.
    """
    about = meta_array({"format": FORMAT, **(meta or {})})

    def read(name: str) -> tuple[Array, None]:
        array = np.asarray(arrays[name])
        return (array.astype(dtype) if dtype is not None and array.dtype.kind == "f" else array), None

    with atomic_write(path) as f:
        write_arrays(f, arrays, read, lambda: about)
