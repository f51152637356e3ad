"""Put a file in place all at once: under another name first, then renamed, and removed if anything goes wrong."""

import os
import secrets
from contextlib import contextmanager

from weights_convert import leaf
from weights_convert.errors import CheckpointError
from weights_convert.meta import meta_array
from weights_convert.write.npz import write_npz
from weights_convert.write.safetensors import write_safetensors
from weights_convert.write.torch_zip import write_torch_zip

#: Formats that can be written -> ending of the file's name.
FORMATS = {"npz": ".npz", "pth": ".pth", "safetensors": ".safetensors"}


@contextmanager
def replacing(path):
    """Open a new file beside ``path`` that takes its place when the block ends without an error.

    Raises:
        CheckpointError: if the folder cannot be written to, or the disk is full.
    """
    path = os.fspath(path)
    temporary = f"{path}.{secrets.token_hex(4)}.part"
    try:
        with open(temporary, "xb") as f:
            yield f
        os.replace(temporary, path)
    except OSError as e:
        raise CheckpointError(f"{path}: cannot be written: {e.strerror or e}") from e
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def write_checkpoint(path, mapped, read, meta, *, to="npz", compress=False):
    """Write arrays to a file of format ``to``, atomically.

    Args:
        path (str or path): The file.
        mapped (dict): ``{npz name: [_, shape, dtype]}``.
        read (callable): Gives the array of an .npz name; for an .npz it has a method ``unverified``, too, which gives
            the array and the CRC-32 that its bytes should have, or ``None`` where they are known to be right.
        meta (callable): Gives the ``__meta__`` object; called once, as late as the format allows.
        to (str): One of `FORMATS`; an .npz has Chainer's names, the others torch's.
        compress (bool): Deflate an .npz.
    """
    names = {leaf.to_torch(name): name for name in mapped}
    shapes = {name: (tuple(mapped[own][1]), mapped[own][2]) for name, own in names.items()}
    with replacing(path) as f:
        if to == "npz":
            write_npz(f, mapped, read.unverified, lambda: meta_array(meta()), compress=compress)
        elif to == "pth":
            write_torch_zip(f, shapes, lambda name: read(names[name]))
            meta()
        else:
            write_safetensors(f, shapes, lambda name: read(names[name]), meta())
