"""Every way a GPU convolves against the CPU, and the matrix products on NumPy arrays where there is no GPU."""

import types

import chainer
import numpy as np
import pytest
from chainer import gradient_check
from chainer.backends import cuda

from chainfpn.functions import _convolution_2d, _linear_map, convolution_2d
from chainfpn.functions.kernels import cublas, cudnn_backend, cudnn_graph, gpu_convolution
from chainfpn.functions.kernels.convolution import Geometry
from chainfpn_tests.functions_tests.test_convolution_2d import CASES, TOLERANCE, case_arrays, with_gradients
from reference import fake_cudnn, fake_cupy


@pytest.fixture(params=["matrix products", "cuDNN"])
def way(request, monkeypatch):
    """Convolve on CuPy arrays in one of the two ways of ours."""
    cupy = pytest.importorskip("cupy")
    if fake_cupy.is_installed():
        fake_cudnn.install(monkeypatch, fake_cudnn.Library([fake_cudnn.Engine(computes=True)]))
    if request.param == "cuDNN" and gpu_convolution.cudnn_problem():
        pytest.skip(gpu_convolution.cudnn_problem())
    monkeypatch.setattr(_convolution_2d, "_is_ours", lambda arrays: True)
    used = []
    plans = cudnn_graph.plans
    monkeypatch.setattr(cudnn_graph, "plans", lambda *args, **rules: used.append(args) or plans(*args, **rules))
    gpu_convolution._plan.cache_clear()
    with chainer.using_config("use_cudnn", "never" if request.param == "matrix products" else "auto"):
        yield cupy
    gpu_convolution.cudnn_problem.cache_clear()
    assert bool(used) == (request.param == "cuDNN")


@pytest.fixture
def matrix_products(monkeypatch):
    """Send NumPy arrays to the code for CuPy's."""
    monkeypatch.setattr(_convolution_2d, "_kernels_for", lambda x: gpu_convolution)
    monkeypatch.setattr(_linear_map, "is_plain", lambda: False)  # where nodes are done without, the array decides


@pytest.fixture(params=[gpu_convolution.COLUMN_BYTES, 700], ids=["one block", "many blocks"])
def column_bytes(request, monkeypatch):
    """Lay out the columns of all images at once, or of one after the other."""
    monkeypatch.setattr(gpu_convolution, "COLUMN_BYTES", request.param)


def assert_same(mine, reference, dtype):
    for a, b in zip(mine, reference, strict=True):
        assert (a.shape, a.dtype) == (b.shape, dtype)
        scale = max(1, np.abs(b).max())
        np.testing.assert_allclose(cuda.to_cpu(a), b, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_matrix_products_give_what_the_cpu_gives(name, dtype, matrix_products, column_bytes, monkeypatch):
    arrays, options = case_arrays(name, dtype), CASES[name][2]
    mine = with_gradients(convolution_2d, arrays, options)
    monkeypatch.undo()
    reference = with_gradients(convolution_2d, [a.astype(np.float64) for a in arrays], options)
    assert_same(mine, reference, dtype)


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_matrix_products_are_numeric_gradients(name, matrix_products):
    check_gradients(np, name)


def test_matrix_products_of_an_empty_batch(matrix_products):
    x, W = np.zeros((0, 3, 6, 6), np.float32), np.ones((4, 3, 3, 3), np.float32)
    y, gx, gW = with_gradients(convolution_2d, (x, W), {"pad": 1})
    assert (y.shape, gx.shape) == ((0, 4, 6, 6), x.shape)
    assert not gW.any()


def test_matrix_products_take_weights_of_another_precision(matrix_products):
    x, W, b = case_arrays("3x3", np.float32)
    y, gx, gW, gb = with_gradients(convolution_2d, (x.astype(np.float16), W, b.astype(np.float16)), {"pad": 1})
    assert [a.dtype for a in (y, gx, gW, gb)] == [np.float16, np.float16, np.float32, np.float16]


def check_gradients(xp, name):
    arrays, options = case_arrays(name, np.float64), CASES[name][2]
    gy = np.random.default_rng(1).uniform(-1, 1, convolution_2d(*arrays, **options).shape)
    second = [np.random.default_rng(2).uniform(-1, 1, a.shape) for a in arrays]
    arrays, gy, second = [xp.asarray(a) for a in arrays], xp.asarray(gy), [xp.asarray(a) for a in second]
    check = {"dtype": np.float64, "eps": 1e-3, "atol": 1e-8, "rtol": 1e-7}
    gradient_check.check_backward(lambda *a: convolution_2d(*a, **options), arrays, gy, **check)
    gradient_check.check_double_backward(lambda *a: convolution_2d(*a, **options), arrays, gy, second, **check)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_a_gpu_gives_what_the_cpu_gives(name, dtype, way):
    arrays, options = case_arrays(name, dtype), CASES[name][2]
    reference = with_gradients(convolution_2d, [a.astype(np.float64) for a in arrays], options)
    variables = [chainer.Variable(way.asarray(a)) for a in arrays]
    y = convolution_2d(*variables, **options)
    gy = np.random.default_rng(1).uniform(-1, 1, y.shape).astype(dtype)
    gradients = chainer.grad([y], variables, [chainer.Variable(way.asarray(gy))])
    results = [y.array, *(g.array for g in gradients)]
    assert all(a.flags.c_contiguous for a in results)
    assert_same(results, reference, dtype)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["3x3", "1x1, every second pixel", "2x3, uneven steps", "grouped, stride 2"])
def test_gradients_on_a_gpu_are_numeric_gradients(name, way):
    check_gradients(way, name)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("name", "dtype", "tf32", "expected"),
    [
        ("1x1", np.float32, "0", 4),
        ("1x1, every second pixel", np.float32, "0", 4),
        ("1x1", np.float32, "1", 0),
        ("1x1", np.float64, "0", 0),
        ("1x1, padded", np.float32, "0", 0),
        ("grouped 1x1", np.float32, "0", 0),
        ("3x3", np.float32, "0", 0),
    ],
)
def test_cublas_alone_makes_the_gradients_of_pixels(name, dtype, tf32, expected, way, monkeypatch):
    products, multiply = [], cublas.multiply
    monkeypatch.setattr(cublas, "multiply", lambda *a, **options: products.append(a) or multiply(*a, **options))
    monkeypatch.setenv("CUPY_TF32", tf32)
    with_gradients_of(way, *map(way.asarray, case_arrays(name, dtype)[:2]), **CASES[name][2])
    assert len(products) == expected  # two for each of two images


@pytest.mark.gpu
@pytest.mark.skipif(fake_cupy.is_installed(), reason="a stand-in has neither streams nor precisions")
def test_the_current_stream_the_precision_and_repetition(way):
    rng = np.random.default_rng(0)
    x, W = (rng.standard_normal(s).astype(np.float32) for s in ((2, 64, 40, 50), (64, 64, 3, 3)))
    exact = convolution_2d(x.astype(np.float64), W.astype(np.float64), pad=1).array
    late, W = way.zeros_like(way.asarray(x)), way.asarray(W)
    way.cuda.Device().synchronize()
    with way.cuda.Stream(non_blocking=True) as stream, chainer.using_config("cudnn_deterministic", True):
        for _ in range(200):  # keeps the stream busy, so that another would read zeros
            late[...] = 0
        late[...] = way.asarray(x)
        results = [with_gradients_of(way, late, W, pad=1) for _ in range(3)]
    stream.synchronize()
    np.testing.assert_allclose(way.asnumpy(results[0][0]), exact, atol=1e-3)  # TF32 is off by 1e-2
    for again in results[1:]:
        for a, b in zip(again, results[0], strict=True):
            np.testing.assert_array_equal(way.asnumpy(a), way.asnumpy(b))


def with_gradients_of(xp, x, W, **options):
    variables = chainer.Variable(x), chainer.Variable(W)
    y = convolution_2d(*variables, **options)
    return [y.array, *(g.array for g in chainer.grad([y], variables, [chainer.Variable(xp.ones_like(y.array))]))]


@pytest.mark.gpu
def test_an_array_that_starts_anywhere(way):
    x, W, b = (way.asarray(a) for a in case_arrays("3x3", np.float32))
    buffer = way.empty(x.size + 1, np.float32)
    shifted = buffer[1:].reshape(x.shape)
    shifted[...] = x
    y, expected = (cuda.to_cpu(convolution_2d(a, W, b, pad=1).array) for a in (shifted, x))
    np.testing.assert_allclose(y, expected, atol=1e-5)


class FakePlan:
    """Takes so many milliseconds; None is what it fails at."""

    workspace = 0

    def __init__(self, milliseconds):
        self.milliseconds = milliseconds

    def run(self, handle, pointers, workspace):
        if self.milliseconds is None:
            raise cudnn_backend.CudnnError("cannot run")
        FakePlan.clock += self.milliseconds


def test_autotune_takes_the_fastest_plan(monkeypatch):
    class Event:
        def record(self):
            self.time = FakePlan.clock

        def synchronize(self):
            pass

    def zeros(shape, dtype):
        return types.SimpleNamespace(data=types.SimpleNamespace(ptr=0))

    gpu = types.SimpleNamespace(
        Event=Event, alloc=lambda size: types.SimpleNamespace(ptr=0), get_elapsed_time=lambda a, b: b.time - a.time
    )
    monkeypatch.setattr(cuda, "cupy", types.SimpleNamespace(zeros=zeros, cuda=gpu), raising=False)
    monkeypatch.setattr(gpu_convolution, "_handle", lambda device: 0)
    FakePlan.clock = 0
    plans = [FakePlan(milliseconds) for milliseconds in (3, None, 2, 5)]
    assert gpu_convolution._fastest(iter(plans), [(1,)] * 3, "f", 0) is plans[2]


def test_where_memory_is_short_a_plan_wants_little(monkeypatch):
    def alloc(size):
        if size > gpu_convolution.LITTLE_BYTES:
            raise MemoryError(size)
        return size

    def plans(*args, most, **rules):
        yield types.SimpleNamespace(workspace=most)

    monkeypatch.setattr(cuda, "cupy", types.SimpleNamespace(cuda=types.SimpleNamespace(alloc=alloc)), raising=False)
    monkeypatch.setattr(gpu_convolution, "_handle", lambda device: 0)
    monkeypatch.setattr(cudnn_graph, "plans", plans)
    key = ("y", ((1,),) * 3, "f", Geometry((1, 1), (1, 1), (1, 1), 1), 0, 16, *[False] * 4)
    gpu_convolution._plan.cache_clear()
    plan, memory = gpu_convolution._plan_with_memory(key)
    gpu_convolution._plan.cache_clear()
    assert plan.workspace == memory == gpu_convolution.LITTLE_BYTES


@pytest.mark.parametrize(
    ("option", "deterministic", "plan"),
    [("debug", False, "first"), ("cudnn_deterministic", True, "first"), ("autotune", False, "fastest")],
)
def test_chainers_configuration_chooses_the_plan(option, deterministic, plan, monkeypatch):
    given = []
    monkeypatch.setattr(gpu_convolution, "_handle", lambda device: 0)
    monkeypatch.setattr(gpu_convolution, "_fastest", lambda plans, *_: [*plans][-1])
    monkeypatch.setattr(cudnn_graph, "plans", lambda *_, **rules: given.append(rules) or iter(["first", "fastest"]))
    result = types.SimpleNamespace(dtype=np.dtype("f"), data=types.SimpleNamespace(device_id=0))
    gpu_convolution._plan.cache_clear()
    with chainer.using_config(option, True):
        key = gpu_convolution.plan_key("y", ((1,),) * 3, result, Geometry((1, 1), (1, 1), (1, 1), 1), (16, 24))
        assert gpu_convolution._plan(*key) == plan
    gpu_convolution._plan.cache_clear()
    assert [(rules["deterministic"], rules["alignment"]) for rules in given] == [(deterministic, 8)]


def test_columns_of_few_images_are_laid_out_at_a_time(monkeypatch):
    image = 3 * (3 * 3) * (4 * 4) * 4  # bytes
    shapes = (5, 3, 4, 4), (2, 3, 3, 3), (5, 2, 4, 4), 4
    for most, n_images in ((2 * image, [2, 2, 1]), (image - 1, [1] * 5), (9 * image, [5])):
        monkeypatch.setattr(gpu_convolution, "COLUMN_BYTES", most)
        assert [len(range(5)[block]) for block in gpu_convolution._blocks(*shapes)] == n_images


@pytest.mark.gpu
def test_autotune_gives_the_same_result(way):
    x, W, b = (way.asarray(a) for a in case_arrays("3x3", np.float32))
    expected = cuda.to_cpu(convolution_2d(x, W, b, pad=1).array)
    with chainer.using_config("autotune", True):
        np.testing.assert_allclose(cuda.to_cpu(convolution_2d(x, W, b, pad=1).array), expected, atol=1e-5)


@pytest.mark.gpu
def test_what_cudnn_cannot_do_is_done_by_matrix_products(monkeypatch):
    cupy = pytest.importorskip("cupy")

    def fail(*args, **rules):
        raise cudnn_backend.CudnnError("no engine")

    monkeypatch.setattr(gpu_convolution, "cudnn_problem", lambda: "")
    monkeypatch.setattr(gpu_convolution, "_handle", lambda device: 0)
    monkeypatch.setattr(gpu_convolution, "_failed", set())
    monkeypatch.setattr(cudnn_graph, "plans", fail)
    gpu_convolution._plan.cache_clear()
    x, W, _ = case_arrays("3x3", np.float32)
    geometry = Geometry((1, 1), (1, 1), (1, 1), 1)
    with pytest.warns(RuntimeWarning, match="matrix products replace cuDNN .* no engine"):
        first = gpu_convolution.forward(cupy.asarray(x), cupy.asarray(W), geometry)
    again = gpu_convolution.forward(cupy.asarray(x), cupy.asarray(W), geometry)  # without asking cuDNN again
    for y in (first, again):
        np.testing.assert_allclose(cupy.asnumpy(y), convolution_2d(x, W, pad=1).array, atol=1e-5)
