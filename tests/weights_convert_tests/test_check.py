"""What --check says of what torch reads; a stand-in for torch answers, for live torch never differs."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import weights_convert


class Value:
    """A tensor of torch."""

    def __init__(self, array):
        self.array, self.dtype = array, array.dtype

    def detach(self):
        return self

    contiguous = detach

    def numpy(self):
        return self.array


@pytest.fixture
def converted(tmp_path, monkeypatch):
    """Return a conversion of two tensors, given what torch loads of its file, or its loader."""
    arrays = {"fc/W": np.arange(6, dtype="f4").reshape(2, 3), "fc/b": np.zeros(2, "f4")}
    np.savez(tmp_path / "a.npz", **arrays)
    weights_convert.convert(tmp_path / "a.npz", tmp_path / "a.pth", model="any")

    def convert(loaded):
        def load(path, map_location, weights_only):
            assert (path, map_location, weights_only) == (tmp_path / "a.pth", "cpu", True)
            return loaded

        load = loaded if callable(loaded) else load
        stand_in = SimpleNamespace(load=load, as_tensor=lambda value: value, bfloat16="bfloat16", __version__="9.9")
        monkeypatch.setitem(sys.modules, "torch", stand_in)
        return weights_convert.convert(tmp_path / "a.pth", tmp_path / "b.npz", model="any", check=True)

    return convert


@pytest.fixture
def values():
    return {"fc.weight": Value(np.arange(6, dtype="f4").reshape(2, 3)), "fc.bias": Value(np.zeros(2, "f4"))}


def test_equal_tensors_are_counted(converted, values):
    assert "2 tensors are equal to what torch 9.9 reads" in converted(values).notes


def test_a_tensor_that_differs_is_named(converted, values, tmp_path):
    values["fc.weight"].array[1, 2] += 1
    with pytest.raises(weights_convert.CheckpointError, match=r"fc\.weight differs from what torch reads"):
        converted(values)
    assert not (tmp_path / "b.npz").exists()


def test_a_tensor_that_torch_lacks_is_named(converted, values):
    del values["fc.bias"]
    with pytest.raises(weights_convert.CheckpointError, match=r"fc\.bias is not among the tensors that torch reads"):
        converted(values)


def test_a_loader_that_would_run_code_is_not_called(converted):
    def load(path, map_location):
        raise AssertionError

    sentence = "torch 9.9 has no restricted loader: the source was not compared with what torch reads"
    assert sentence in converted(load).notes
