"""Read the arrays of a match: in place where that is possible, one after the other where they are written."""

import numpy as np

from weights_convert._typing import Array
from weights_convert.errors import CheckpointError, error_context
from weights_convert.matching import Match
from weights_convert.read.tensor import Tensor, Unsupported


class MatchReader:
    """Reads the tensors of a match one after the other, and lets go of the one before.

    Args:
        match (Match): Whose tensors.
    """

    def __init__(self, match: Match) -> None:
        self._match = match
        self._last: Tensor | None = None

    def __call__(self, name: str) -> Array:
        """Return the array of an .npz name."""
        self._forget(name)
        return read_array(self._match, name, aligned=False)

    def unverified(self, name: str) -> tuple[Array, int | None]:
        """Return the array, and the CRC-32 its bytes should have where nobody has compared it yet, else ``None``."""
        self._forget(name)
        array, crc = (None, 0) if self._match.dtype is not None else self._match.tensors[name].unverified()
        return (self(name), None) if array is None else (array, crc)

    def _forget(self, name: str) -> None:
        if self._last is not None:
            self._last.storage.release()
        self._last = self._match.tensors[name]


def read_array(match: Match, name: str, *, aligned: bool = True) -> Array:
    """Return the array of an .npz name, in the dtype that it is to have.

    Raises:
        CheckpointError: if no array can hold it, or that dtype cannot.
    """
    with error_context(match.report.source):
        return _cast(name, to_array(name, match.tensors[name], aligned=aligned), match.dtype)


def to_array(name: str, tensor: Tensor | Unsupported, *, aligned: bool = True) -> Array:
    """Return the array of a tensor, which a CheckpointError names if there is none."""
    if isinstance(tensor, Unsupported):
        raise CheckpointError(f"{name} is {tensor.reason}")
    with error_context(name):
        return tensor.array(aligned=aligned)


def _cast(name: str, array: Array, dtype: str | None) -> Array:
    if dtype is None or array.dtype.kind != "f" or array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        result = array.astype(dtype)
    if not np.array_equal(np.isfinite(result), np.isfinite(array)):
        raise CheckpointError(f"{name} has values that {dtype} cannot hold; the largest is {np.abs(array).max():.3g}")
    return result
