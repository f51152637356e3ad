"""Memory that is used again: never while anything looks at it, and never more than the limit of it."""

import numpy as np
import pytest

from chainfpn.functions.kernels import buffers


@pytest.fixture
def pool(monkeypatch):
    monkeypatch.setattr(buffers, "_pool", buffers._Pool(10_000))
    monkeypatch.setattr(buffers, "LARGE", 1000)
    return buffers._pool


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_when_the_last_view_is_gone(pool):
    first = buffers.empty((20, 30), np.float32)
    first[:] = 1
    where, view = address(first), first[3:].reshape(-1)[::2]
    del first
    assert not pool.free
    assert address(buffers.empty((20, 30), np.float32)) != where
    assert (view == 1).all()
    del view
    again = buffers.empty((2, 3, 50), np.float64)
    assert where in {address(again), *(address(memory) for memory in pool.free.values())}
    assert again.flags.c_contiguous
    assert again.flags.writeable
    assert (again.shape, again.dtype) == ((2, 3, 50), np.float64)


def test_a_small_array_is_numpys_own_and_a_large_one_takes_at_most_twice_what_it_needs(pool):
    assert buffers.empty((2, 3), np.int32).flags.owndata
    large = address(buffers.empty((2000,), np.float32))
    assert address(buffers.empty((300,), np.float32)) != large
    assert address(buffers.empty((1000,), np.float32)) == large


def test_the_longest_unused_memory_goes_first(pool):
    arrays = [buffers.empty((4000,), np.uint8) for _ in range(3)]
    places = [address(array) for array in arrays]
    del arrays[2], arrays[0], arrays[0]
    assert {address(memory) for memory in pool.free.values()} == set(places[:2])
    del arrays
    buffers.empty((20_000,), np.uint8)
    assert sum(memory.nbytes for memory in pool.free.values()) <= pool.limit
