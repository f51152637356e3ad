"""A file, mapped into memory and never changed by what is done with the arrays that lie in it."""

import mmap
import os

from weights_convert._typing import PathLike
from weights_convert.errors import CheckpointError
from weights_convert.files import refuse_special


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

    def __init__(self, path: PathLike) -> None:
        self.path = os.fspath(path)
        self.name = os.path.basename(self.path)
        refuse_special(self.path, "not a checkpoint")
        try:
            with open(self.path, "rb") as f:
                self.size = os.fstat(f.fileno()).st_size
                if not self.size:
                    raise CheckpointError(f"{self.name}: is empty")
                self._mmap = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        self.view = memoryview(self._mmap)

    def find_last(self, pattern: bytes, start: int) -> int:
        """Return where ``pattern`` (bytes) occurs last at or after ``start``, or -1."""
        return self._mmap.rfind(pattern, start)

    def release(self, start: int, size: int) -> None:
        """Let go of the memory behind some bytes; they can be read again."""
        page = mmap.PAGESIZE
        first = start // page * page
        if hasattr(mmap, "MADV_DONTNEED") and size > page:
            self._mmap.madvise(mmap.MADV_DONTNEED, first, min(start + size - first, self.size - first))
