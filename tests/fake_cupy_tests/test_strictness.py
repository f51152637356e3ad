"""The fake CuPy refuses what CuPy refuses, and counts."""

import json
import pathlib
import re

import numpy as np
import pytest

from reference import fake_cupy

pytestmark = pytest.mark.fake_gpu


@pytest.fixture
def cupy():
    import cupy

    return cupy


@pytest.fixture
def x(cupy):
    return cupy.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))


REFUSED = {
    "an array of the host in arithmetic": lambda cupy, x: x + np.ones((2, 3), np.float32),
    "an array of the host in a function": lambda cupy, x: cupy.concatenate([x, np.ones((2, 3), np.float32)]),
    "filling from the host": lambda cupy, x: x.__setitem__(slice(None), np.ones((2, 3), np.float32)),
    "conversion": lambda cupy, x: np.asarray(x),
    "conversion by a function of NumPy": lambda cupy, x: np.array([x, x]),
    "a keyword that only NumPy has": lambda cupy, x: cupy.sum(x, where=True),
    "a kind of sort, said to a method": lambda cupy, x: x.argsort(kind="stable"),
    "a fraction as an index": lambda cupy, x: x[x],
    "an array of the host in an elementwise kernel": lambda cupy, x: cupy.ElementwiseKernel(
        "T x, T y", "T z", "z = x + y"
    )(x, np.ones((2, 3), np.float32)),
    "two dtypes for one type": lambda cupy, x: cupy.ElementwiseKernel("T x, T y", "T z", "z = x + y")(
        x, x.astype(np.float64)
    ),
    "a type that only a number has": lambda cupy, x: cupy.ElementwiseKernel("T x, S n", "T y", "y = x * n")(x, 2),
    "a kernel of unknown size": lambda cupy, x: cupy.ElementwiseKernel("raw T x", "raw T y", "y[i] = x[i]")(x, x),
    "a size beside an array that tells it": lambda cupy, x: cupy.ElementwiseKernel("T x", "T y", "y = x")(x, size=6),
    "a result of another shape": lambda cupy, x: cupy.ElementwiseKernel("T x", "T y", "y = x")(x, x[:1]),
}


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED)
def test_what_cupy_refuses(cupy, x, attempt):
    with pytest.raises((TypeError, ValueError, LookupError)):
        attempt(cupy, x)


@pytest.mark.parametrize("parameter", ["T x", "raw T x"])
def test_an_input_is_only_read(cupy, x, parameter):
    with pytest.raises(AssertionError, match=r"read-only|assign"):
        cupy.ElementwiseKernel(parameter, "T y", f"x{'[i]' * ('raw' in parameter)} = 1")(x, x.copy())


@pytest.mark.parametrize("name", ["putmask_", "unstack", "float_power_", "vecdot"])
def test_what_cupy_lacks(cupy, name):
    with pytest.raises(AttributeError, match=name):
        getattr(cupy, name)


def test_fresh_memory_is_no_number(cupy):
    assert np.isnan(cupy.empty((2, 3)).get()).all()


def test_kernels_compute(cupy, x):
    scaled = cupy.ElementwiseKernel("T x, T factor", "T y", "y = x * factor", "scaled")(x, 2)
    np.testing.assert_array_equal(scaled.get(), [[0, 2, 4], [6, 8, 10]])
    largest = cupy.ReductionKernel("T x", "T y", "x", "max(a, b)", "y = a", "-1", "largest")
    np.testing.assert_array_equal(largest(x, axis=0).get(), [3, 4, 5])
    swapped = cupy.ElementwiseKernel("raw T x, int32 last", "T y", "y = x[last - i]", "swapped")(x, 5, size=6)
    np.testing.assert_array_equal(swapped.get(), [5, 4, 3, 2, 1, 0])


@pytest.mark.parametrize("name", ["real", "imag", "conj", "arg", "complex", "float16"])
def test_names_of_cupys_headers_are_taken(cupy, x, name):
    kernel = cupy.ElementwiseKernel("T x", "T y", "y = x", "taken", preamble=f"typedef float {name};")
    with pytest.raises(AssertionError, match="error: "):
        kernel(x)


def test_half_precision_in_kernels(cupy):
    x = cupy.asarray(np.array([0.1, 65504, -2e-8], np.float16))
    y = cupy.ElementwiseKernel("T x", "T y", "y = x * T(0.5)", "halved")(x)
    np.testing.assert_array_equal(y.get(), x.get() * np.float16(0.5))


def test_what_is_counted(cupy, x):
    with fake_cupy.count() as counts:
        y = x.reshape(3, 2) + 1
        found = y[y > 3]
        float(found.sum())
        y.get()
        cupy.asarray(np.zeros(5, np.float32))
    assert [event.what for event in counts.events if event.kind == "launch"] == ["add", "greater", "gather", "sum"]
    assert (counts.launches, counts.syncs, counts.uploads, counts.largest_download) == (4, 3, 1, 24)
    assert re.match(r" +1 \S+ float$", counts.table("sync").splitlines()[1])
    with fake_cupy.count() as later:
        pass
    assert not later.events


def test_a_stream_has_to_wait_for_another(cupy, x):
    stream, other = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    with pytest.raises(AssertionError, match="has not waited"), stream:
        x + cupy.asarray(np.ones((2, 3), np.float32)) + _made_on(other, cupy)
    stream.wait_event(other.record())
    with stream:
        _made_on(stream, cupy) + 1
    with pytest.raises(AssertionError, match="has not waited"):
        _made_on(stream, cupy) + x
    y = _made_on(stream, cupy)
    stream.synchronize()
    assert (y + x).get().tolist() == [[1, 2, 3], [4, 5, 6]]


def _made_on(stream, cupy):
    with stream:
        return cupy.ones((2, 3), np.float32)


def test_a_copy_from_page_locked_memory_may_come_late(cupy, x):
    import cupyx

    locked, stream = cupyx.empty_pinned((2, 3), np.float32), cupy.cuda.Stream(non_blocking=True)
    locked[...] = 1
    stream.wait_event(cupy.cuda.get_current_stream().record())
    x.set(locked, stream)
    locked[...] = 2  # too early
    cupy.cuda.get_current_stream().wait_event(stream.record())
    assert (x.get() == 2).all()


def test_the_names_are_those_of_the_release(cupy):
    path = pathlib.Path(fake_cupy.__file__).with_name(f"names_{cupy.__version__.partition('.')[0]}.json")
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == cupy.__version__
