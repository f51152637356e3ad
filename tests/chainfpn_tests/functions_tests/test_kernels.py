"""The engines behind the ops: chosen lazily, independent of the number of threads; the geometry they share."""

import contextlib
import errno
import functools
import gc
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace
from unittest.mock import Mock

import chainer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainfpn import functions
from chainfpn.export.trace import trace
from chainfpn.functions import kernels
from chainfpn.functions.kernels import geometry, numpy_engine
from chainfpn.links import Convolution2D, FrozenBatchNormalization
from reference import roi_ops as loops


def run_python(code):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


CALL = """
    import sys, warnings
    import numpy as np
    import chainfpn.boxes, chainfpn.functions
    assert "numba" not in sys.modules and "cupy" not in sys.modules
    x, roi = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4), np.array([[0, 0, 2, 2]], np.float32)
    image = np.zeros(1, np.int32)
"""


@pytest.mark.slow
def test_numba_is_imported_by_the_first_call_only():
    pytest.importorskip("numba")
    code = (
        CALL
        + """
    chainfpn.functions.roi_pool(x, roi, image, 1, 1.0)
    assert "numba" in sys.modules
    """
    )
    run_python(code)


def test_without_numba_one_warning_and_the_same_result():
    code = (
        CALL
        + """
    sys.modules["numba"] = None  # as if it were not installed
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            print(chainfpn.functions.roi_align(x, roi, image, 1, 1.0, sampling_ratio=2).array.item())
            print(chainfpn.functions.roi_pool(x, roi, image, 1, 1.0).array.item())
            print(chainfpn.boxes.nms(roi, 0.5).tolist())
    (caught,) = [str(w.message) for w in caught if "Numba" in str(w.message)]
    assert caught.startswith("chainfpn: without Numba ("), caught
    assert caught.endswith(") RoI ops and NMS run on NumPy, slower; pip install 'chainfpn[cpu]'"), caught
    """
    )
    assert run_python(code).split() == ["5.0", "10.0", "[0]"] * 2


def test_a_numba_that_cannot_be_imported_is_as_good_as_none(tmp_path):
    (tmp_path / "numba.py").write_text('raise ImportError("Numba needs NumPy 2.2 or less")')
    code = (
        CALL
        + f"""
    sys.path.insert(0, {str(tmp_path)!r})
    warnings.simplefilter("ignore")
    large = np.ones((1, 16, 32, 32), np.float32)  # as Winograd's algorithm computes it
    print(chainfpn.functions.convolution_2d(large, np.ones((16, 16, 3, 3), np.float32)).array[0, 0, 0, 0])
    print(chainfpn.functions.roi_pool(x, roi, image, 1, 1.0).array.item())
    """
    )
    assert run_python(code).split() == ["144.0", "10.0"]


@pytest.mark.slow
def test_where_nothing_can_be_cached_kernels_are_compiled_each_time():
    pytest.importorskip("numba")
    code = (
        CALL
        + """
    from numba.core import caching
    caching.CacheImpl._locator_classes = []  # as if no folder could be written
    print(chainfpn.boxes.nms(roi, 0.5).tolist())
    """
    )
    assert run_python(code) == "[0]\n"


@pytest.fixture
def crowd():
    rng = np.random.RandomState(0)
    x = rng.uniform(-1, 1, (2, 70, 20, 30)).astype(np.float32)
    rois = np.sort(rng.uniform(-5, 70, (200, 2, 2)), axis=1).reshape(200, 4).astype(np.float32)
    return x, rois, rng.randint(0, 2, 200).astype(np.int32)


@pytest.mark.parametrize("name", ["roi_align", "roi_pool"])
def test_threads_change_nothing(name, crowd, monkeypatch):
    pytest.importorskip("numba")
    x, rois, roi_indices = crowd
    results = []
    for n in (1, 2, 13):
        monkeypatch.setattr("chainfpn.functions.kernels.threads.N_THREADS", n)
        v = chainer.Variable(x)
        y = getattr(functions, name)(v, rois, roi_indices, 7, 0.5)
        y.grad = np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape)
        y.backward()
        results.append((y.array, v.grad))
    for result in results[1:]:
        np.testing.assert_array_equal(result[0], results[0][0])
        np.testing.assert_array_equal(result[1], results[0][1])


def test_several_python_threads_at_once(crowd):
    x, rois, roi_indices = crowd
    expected = functions.roi_align(x, rois, roi_indices, 7, 0.5).array
    results = []

    def work():
        results.append(functions.roi_align(x, rois, roi_indices, 7, 0.5).array)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_halves_are_rounded_away_from_zero():
    values = np.array([0.5, 1.5, 2.5, -0.5, -2.5, 0.49999997, -0.49999997, 8388609.0, 0.0], np.float32)
    expected = [1, 2, 3, -1, -3, 0, 0, 8388609, 0]
    assert geometry.round_half_away(values).tolist() == expected


corner = st.one_of(
    st.floats(width=32, allow_nan=True, allow_infinity=True),
    st.floats(-40, 80, width=32),
    st.integers(-80, 160).map(lambda n: n / 4),  # borders and halves
)
rois_of_any_kind = st.lists(st.tuples(corner, corner, corner, corner), min_size=1, max_size=4)


def pooled(name, x, rois, **options):
    """Pool with an op; give the result and the gradient of its sum."""
    v = chainer.Variable(x)
    images = np.zeros(len(rois), np.int32)
    y = getattr(functions, name)(v, np.array(rois, np.float32), images, (2, 3), 0.25, **options)
    y.grad = np.ones_like(y.array)
    y.backward()
    return y.array, v.grad


MAP = np.random.RandomState(0).uniform(-1, 1, (1, 6, 5, 7))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(rois_of_any_kind)
def test_any_roi_pools_as_the_loops_do(rois):
    ones = np.ones((len(rois), 6, 2, 3))
    for name in ("roi_pool", "ps_roi_pool"):
        gy = ones[:, : 6 if name == "roi_pool" else 1]
        expected = getattr(loops, name)(
            MAP, gy, np.array(rois, np.float32), np.zeros(len(rois), np.int32), (2, 3), 0.25
        )
        for ours, theirs in zip(pooled(name, MAP, rois), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(rois_of_any_kind, st.integers(1, 2), st.booleans())
def test_any_roi_is_sampled_as_the_loops_do(rois, sampling_ratio, aligned):
    ones = np.ones((len(rois), 6, 2, 3))
    images = np.zeros(len(rois), np.int32)
    for name, options in (("roi_align", {"aligned": aligned}), ("ps_roi_align", {})):
        options["sampling_ratio"] = sampling_ratio
        gy = ones[:, : 6 if name == "roi_align" else 1]
        expected = getattr(loops, name)(MAP, gy, np.array(rois, np.float32), images, (2, 3), 0.25, **options)
        for ours, theirs in zip(pooled(name, MAP, rois, **options), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(rois_of_any_kind)
def test_engines_agree_on_adaptive_sampling_of_any_roi(rois):
    for name in ("roi_align", "ps_roi_align"):
        ours = pooled(name, MAP, rois)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("chainfpn.functions.kernels.cpu_ops.engine", lambda: numpy_engine)
            theirs = pooled(name, MAP, rois)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.tuples(corner, corner, corner, corner), st.integers(1, 9), st.sampled_from([0.0625, 0.25, 1.0, 3.7]))
def test_bins_of_roi_pool_cover_the_roi_without_gaps(roi, n_bins, scale):
    p = geometry.RoIs(np.array([roi], np.float32), np.zeros(1, np.int32), (n_bins, n_bins), scale)
    windows = geometry.pixel_windows(p, (30, 40), inclusive=True)
    for bounds, extent in ((windows.rows[0], 30), (windows.columns[0], 40)):
        assert (bounds >= 0).all()
        assert (bounds <= extent).all()
        assert (np.diff(bounds[:, 0]) >= 0).all()
        assert (bounds[1:, 0] <= bounds[:-1, 1]).all()


@settings(max_examples=100, deadline=None)
@given(st.tuples(*[st.floats(2, 17, width=32)] * 4), st.integers(1, 5), st.integers(0, 4))
def test_a_constant_map_keeps_its_value(roi, n_bins, sampling_ratio):
    y0, x0, y1, x1 = roi
    rois = np.array([[min(y0, y1), min(x0, x1), max(y0, y1), max(x0, x1)]], np.float32)
    x = np.full((1, 2, 20, 20), 3.5)
    y = functions.roi_align(x, rois, np.zeros(1, np.int32), n_bins, 1.0, sampling_ratio=sampling_ratio)
    np.testing.assert_allclose(y.array, 3.5, rtol=1e-12)


@pytest.mark.parametrize("name", ["ps_roi_align", "ps_roi_pool"])
def test_pixels_of_bins_are_listed_in_parts_where_there_are_many(name, monkeypatch):
    pytest.importorskip("numba")
    rois = np.sort(np.random.default_rng(0).uniform(-4, 32, (40, 2, 2)), axis=1).reshape(40, 4)
    known = pooled(name, MAP, rois)
    monkeypatch.setattr("chainfpn.functions.kernels.numba_ps.LISTED", 0)  # room for as many as a map has
    for a, b in zip(pooled(name, MAP, rois), known, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nodes_carry_the_name_of_their_op():
    x = chainer.Variable(np.zeros((1, 4, 5, 5), np.float32))
    rois, images = np.array([[0, 0, 4, 4]], np.float32), np.zeros(1, np.int32)
    for name in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"):
        y = getattr(functions, name)(x, rois, images, 2, 1.0)
        assert y.creator.label == name
        (gx,) = chainer.grad([y], [x], enable_double_backprop=True)
        assert gx.creator.label == f"grad of {name}"


def test_what_runs_once_can_be_left_uncompiled():
    pytest.importorskip("numba")
    with kernels.plain_numpy():
        assert kernels.import_compiled("numba_normalize") is None
    assert kernels.import_compiled("numba_normalize") is not None


@pytest.mark.parametrize("n_lines", [16, 3])
@pytest.mark.parametrize("n", [16, 37])
def test_lines_are_transposed_in_blocks_and_what_is_left_of_them(n_lines, n):
    numba = pytest.importorskip("numba")
    inner = kernels.import_compiled("numba_common").copy_transposed
    copy_transposed = numba.njit(lambda source, n_lines, n, target: inner(source, 5, 40, n_lines, n, target, 2, 20))
    source, target = np.arange(5 + n_lines * 40, dtype=np.int32), np.full(2 + n * 20, -1, np.int32)
    copy_transposed(source, n_lines, n, target)
    copied = target[2:].reshape(n, 20)
    np.testing.assert_array_equal(copied[:, :n_lines].T, source[5:].reshape(n_lines, 40)[:, :n])
    assert (copied[:, n_lines:] == -1).all()
    assert (target[:2] == -1).all()


def test_tracing_a_network_compiles_nothing(monkeypatch):
    def fail(name):
        raise AssertionError(name)

    monkeypatch.setattr(kernels, "_import_compiled", fail)
    conv, norm = Convolution2D(16, 16, 3, pad=1), FrozenBatchNormalization(16)
    with chainer.using_config("train", False), pytest.raises(AssertionError, match="numba_normalize"):
        norm(np.ones((1, 16, 2, 2), np.float32))
    seen = trace(lambda x: {"y": norm(conv(x))}, [(2, 16, 60, 60), (1, 16, 70, 72)])
    assert len(seen.calls) == 2


@pytest.mark.parametrize("groups", [1, 4])
def test_arrays_that_are_read_only(groups):
    """A window of one pixel with a stride, and channels on their own, are read and written by one compiled function."""
    rng = np.random.default_rng(0)
    ksize = 1 if groups == 1 else 3
    shapes = (2, 4, 5, 7), (4, 4 // groups, ksize, ksize), (2, 4, 3 - ksize // 3, 4 - ksize // 3)
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]

    def compute():
        x, W, gy = map(chainer.Variable, arrays)
        y = functions.convolution_2d(x, W, stride=2, groups=groups)
        return [v.array for v in (y, *chainer.grad([y], [x, W], [gy]))]

    expected = compute()
    for array in arrays:
        array.flags.writeable = False
    for found, known in zip(compute(), expected, strict=True):
        np.testing.assert_array_equal(found, known)


@pytest.mark.parametrize("was_enabled", [True, False])
def test_no_garbage_is_collected_while_a_kernel_is_compiled(was_enabled):
    numba_common = pytest.importorskip("chainfpn.functions.kernels.numba_common")
    ours, another = ({"dispatcher": SimpleNamespace(py_func=f)} for f in (numba_common.copy.py_func, run_python))
    compiling = functools.partial(numba_common.event.trigger_event, "numba:compile")
    (gc.enable if was_enabled else gc.disable)()
    try:
        with compiling(another):
            assert gc.isenabled() == was_enabled
        with compiling(ours):
            with contextlib.suppress(ValueError), compiling(ours), compiling(another):
                raise ValueError("cannot be compiled")
            assert not gc.isenabled()
        assert gc.isenabled() == was_enabled
    finally:
        gc.enable()


@pytest.mark.parametrize("harm", ["no index", "half of the code", "a full disk"])
def test_files_that_numba_can_neither_read_nor_write_cost_a_compilation_only(harm, tmp_path, monkeypatch):
    numba = pytest.importorskip("numba")
    from chainfpn.functions.kernels import numba_common

    def square(x):
        return x * x

    def run():
        kernel = numba_common.exact(square)
        assert kernel(3) == 9
        return sum(kernel.stats.cache_hits.values())

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    if harm == "a full disk":
        with monkeypatch.context() as patch:
            full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
            patch.setattr(numba_common.caching.IndexDataCacheFile, "_save_data", full)
            assert [run(), run()] == [0, 0]
        assert full.call_count == 2
    else:
        assert [run(), run()] == [0, 1]
        (path,) = tmp_path.rglob("*.nbi" if harm == "no index" else "*.nbc")
        path.write_bytes(b"" if harm == "no index" else path.read_bytes()[:50])
    assert [run(), run()] == [0, 1]
