"""Files that appear under their names only when they are complete."""

import contextlib
import errno
import os
import pathlib
import tempfile


@contextlib.contextmanager
def complete_file(path, mode="w"):
    """Open a file for writing that takes its name when the block ends, and leaves nothing behind if it fails.

    Args:
        path (str or os.PathLike): The file; what is there is replaced.
        mode (str): ``'w'`` (UTF-8) or ``'wb'``.

    Yields:
        file: Open for writing.

    Raises:
        OSError: naming ``path`` if it cannot be written.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None
    temporary = pathlib.Path(name)
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
        temporary.chmod(_default_mode())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _default_mode():
    """Return the permissions of a file that ``open`` would make."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
