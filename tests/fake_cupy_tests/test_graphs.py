"""The fake captures as a GPU does: nothing is computed, and memory that was freed is not the graph's any more."""

import numpy as np
import pytest
from chainer.backends import cuda

from reference import fake_cupy

pytestmark = pytest.mark.fake_gpu


@pytest.fixture
def cupy():
    return cuda.cupy


@pytest.fixture
def stream(cupy):
    return cupy.cuda.Stream(non_blocking=True)


@pytest.fixture
def x(cupy, stream):
    with stream:
        return cupy.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))


def captured(cupy, stream, function):
    """Return a graph, what the function returned, and the pool of both."""
    pool = cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        try:
            y = function()
        finally:
            graph = stream.end_capture()
    return graph, y, pool


def test_a_launch_computes_with_what_is_there_then(cupy, stream, x):
    scale = cupy.ElementwiseKernel("T x, float32 factor", "T y", "y = x * factor", "scale")

    def function():
        y = cupy.exp(scale(x, 2)).T[1:].copy()
        y[0] += 1
        y -= cupy.stack([x[0, :2], x[1, :2]]).sum()
        return y

    with stream:
        expected = [function().get(), (x + 1, function())[1].get()]
    graph, y, pool = captured(cupy, stream, function)
    with stream:
        assert np.isnan(y.get()).all()  # nothing has been computed
        graph.launch()
        np.testing.assert_array_equal(y.get(), expected[0])
        x[...] = x[:, ::-1]
        with fake_cupy.count() as counts:
            graph.launch()
        assert counts.launches == 1
        np.testing.assert_array_equal(y.get(), function().get())
    assert pool.total_bytes()


def test_what_waits_multiplies_or_copies_is_refused(cupy, stream, x):
    event = cupy.cuda.Event()

    def synchronize():
        event.record()
        (x + 1).sum()
        event.synchronize()

    for refused in (x.get, lambda: cupy.asarray(np.ones(3)), lambda: float(x[0, 0]), lambda: x[x > 0]):
        with pytest.raises(RuntimeError, match="is capturing"):
            captured(cupy, stream, refused)
    for product in (lambda: x.dot(x.T), lambda: cupy.matmul(x, x.T), lambda: x @ x.T):
        with pytest.raises(NotImplementedError, match="calling cuBLAS API"):
            captured(cupy, stream, product)
    for waiting in (stream.synchronize, cupy.cuda.Device().synchronize):
        with pytest.raises(RuntimeError, match="Invalidated"):
            captured(cupy, stream, waiting)
    assert not stream.is_capturing()


def test_only_a_stream_that_no_other_disturbs_captures(cupy):
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        cupy.cuda.get_current_stream().begin_capture()
    with pytest.raises(AssertionError, match="would end the capture"):
        cupy.cuda.Stream().begin_capture()


def test_memory_that_was_freed_is_not_used(cupy, stream, x):
    with stream:
        stream.begin_capture()
        y = (x + 1) * 2  # the sum is freed into the pool of all
        graph = stream.end_capture()
        with pytest.raises(AssertionError, match="memory that was freed"):
            graph.launch()
        assert y.shape == (2, 3)
        graph, y, pool = captured(cupy, stream, lambda: (x + 1) * 2)
        graph.launch()
        pool.free_all_blocks()
        with pytest.raises(AssertionError, match="memory that was freed"):
            graph.launch()


def test_the_pool_of_a_graph_serves_no_other(cupy, stream, x):
    graph, _, pool = captured(cupy, stream, lambda: x + 1)
    with cupy.cuda.using_allocator(pool.malloc), stream:
        with pytest.raises(AssertionError, match="given to somebody else"):
            x.copy()
        del graph
        x.copy()


def test_another_stream_has_to_wait(cupy, stream, x):
    graph, y, _ = captured(cupy, stream, lambda: x + 1)
    with stream:
        graph.launch()
        done = stream.record()
    with cupy.cuda.Stream(non_blocking=True) as other:
        with pytest.raises(AssertionError, match="has not waited"):
            graph.launch()
        other.wait_event(done)
        graph.launch()
        np.testing.assert_array_equal(y.get(), [[1, 2, 3], [4, 5, 6]])
