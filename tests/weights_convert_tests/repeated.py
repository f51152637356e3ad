"""Tensors that repeat one zero, so that large ones cost nothing, in memory and in files."""

import contextlib

import pytest

from weights_convert.read import contents, tensor
from weights_convert.read.tensor import Storage, Tensor


def described(shapes):
    """Return tensors of these shapes."""
    storage = Storage("float32", 1, lambda: memoryview(b"\0" * 4))
    return {name: Tensor(storage, shape, (0,) * len(shape)) for name, shape in shapes.items()}


@contextlib.contextmanager
def allowed():
    """Read files of such tensors, which are bombs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "FREE_BYTES", 1 << 40)
        patch.setattr(tensor, "MAX_REPEATED", 1 << 40)
        yield
