"""Images go to the GPU while it works on those before them."""

import numpy as np
import pytest

from chainfpn.functions.kernels import uploads
from chainfpn.functions.kernels.uploads import upload_ahead
from reference import fake_cupy

pytestmark = pytest.mark.gpu

SHAPES = ((3, 4, 5), (3, 7, 2)), (), ((3, 1, 1),)


@pytest.fixture
def batches():
    random = np.random.default_rng(0)
    return [([random.random(shape).astype(np.float32) for shape in shapes], i) for i, shapes in enumerate(SHAPES)]


def test_each_batch_arrives_one_behind(batches):
    import cupy

    read = []

    def read_batches():
        for arrays, i in batches:
            read.append(i)
            yield [a[:, ::-1] for a in arrays], i

    for arrays, i in upload_ahead(read_batches()):
        assert read == [0, 1, 2][: i + 2]
        for array, host in zip(arrays, batches[i][0], strict=True):
            assert isinstance(array, cupy.ndarray)
            np.testing.assert_array_equal((array * 2).get(), host[:, ::-1] * 2)
    assert i == 2


def test_without_room_they_stay_on_the_host(batches, monkeypatch):
    import cupyx

    def fail(shape, dtype):
        raise MemoryError

    monkeypatch.setattr(cupyx, "empty_pinned", fail)
    for arrays, i in upload_ahead(batches):
        assert [a is b for a, b in zip(arrays, batches[i][0], strict=True)] == [True] * len(arrays)
    assert i == 2


@pytest.mark.fake_gpu
def test_the_host_does_not_wait_for_a_copy(batches):
    with fake_cupy.count() as counts:
        for arrays, _ in upload_ahead(batches):
            for array in arrays:
                array.get()
    assert (counts.syncs, counts.uploads) == (3, 3), counts.table("sync")


@pytest.mark.fake_gpu
def test_page_locked_memory_is_held_until_its_copy_is_done(batches, monkeypatch):
    """Which the device may make long after it was asked to."""
    import cupy

    done, synchronize = [], cupy.cuda.Event.synchronize
    monkeypatch.setattr(cupy.cuda.Event, "synchronize", lambda event: done.append(event) or synchronize(event))
    for _, i in upload_ahead(batches):
        assert len(done) == i
    assert len(set(map(id, done))) == len(done) == 3


@pytest.mark.fake_gpu
def test_who_does_not_wait_is_found_out(batches, monkeypatch):
    monkeypatch.setattr(uploads._Upload, "wait", lambda self: self._arrays)
    with pytest.raises(AssertionError, match="has not waited"):
        next(upload_ahead(batches))[0][0] + 1
