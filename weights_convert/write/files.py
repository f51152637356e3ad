"""Put a file in place all at once: under another name first, then renamed, and removed if anything goes wrong."""

import os
import secrets
from contextlib import contextmanager

from weights_convert.errors import CheckpointError
from weights_convert.meta import meta_array
from weights_convert.write.npz import write_npz

FORMATS = {"npz": ".npz"}


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
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except OSError as e:
        raise CheckpointError(f"{path}: cannot be written: {e.strerror or e}") from e
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def write_checkpoint(path, items, mapped, meta, *, to="npz", compress=False):
    """Write arrays to a file of format ``to``, atomically.

    Args:
        path (str or path): The file.
        items (iterable of (str, array)): .npz names and arrays, consumed one at a time.
        mapped (dict): ``{name: [_, shape, dtype]}`` of all of them, known beforehand.
        meta (dict): The ``__meta__`` object.
        to (str): One of `FORMATS`.
        compress (bool): Deflate an .npz.
    """
    with replacing(path) as f:
        write_npz(f, items, meta_array(meta), compress=compress)
