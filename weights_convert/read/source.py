"""A file, mapped into memory and never changed by what is done with the arrays that lie in it."""

import hashlib
import mmap
import os

from weights_convert.errors import CheckpointError

_PIECE = 4 << 20


class Source:
    """The bytes of a file.

    Args:
        path (str or path): A regular file.

    Attributes:
        name (str): The file's own name, used at the start of every error.
        view (memoryview): All bytes, private: an array in it can be written, the file stays as it is.

    Raises:
        CheckpointError: if the file cannot be read, is empty, or is not a regular file.
    """

    def __init__(self, path):
        self.path = os.fspath(path)
        self.name = os.path.basename(self.path)
        if os.path.isdir(self.path):
            raise CheckpointError(f"{self.path}: is a folder, not a checkpoint")
        try:
            with open(self.path, "rb") as f:
                self.size = os.fstat(f.fileno()).st_size
                self._mmap = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY) if self.size else None
        except OSError as e:
            raise CheckpointError(f"{self.path}: cannot be read: {e.strerror or e}") from e
        if self._mmap is None:
            raise CheckpointError(f"{self.name}: is empty")
        self.view = memoryview(self._mmap)

    def find_last(self, pattern, start):
        """Return where ``pattern`` (bytes) occurs last at or after ``start``, or -1."""
        return self._mmap.rfind(pattern, start)

    def release(self, start, size):
        """Tell the system that the bytes from ``start`` on are not needed in memory just now."""
        page = mmap.PAGESIZE
        first = start // page * page
        if hasattr(mmap, "MADV_DONTNEED") and size > page:
            self._mmap.madvise(mmap.MADV_DONTNEED, first, min(start + size - first, self.size - first))

    def sha256(self):
        """Return the sha256 of the whole file in hex."""
        digest = hashlib.sha256()
        for start in range(0, self.size, _PIECE):
            digest.update(self.view[start : start + _PIECE])
        return digest.hexdigest()
