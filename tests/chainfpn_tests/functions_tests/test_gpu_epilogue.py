"""A convolution with what follows it as one plan of cuDNN: right, or not taken, on a card or a stand-in for cuDNN."""

import chainer
import numpy as np
import pytest

import convolution as benchmark
from bench_utils.machine import Machine
from chainfpn.cli import info
from chainfpn.functions import _convolution_2d
from chainfpn.functions.kernels import cudnn_graph, gpu_convolution, gpu_epilogue
from chainfpn.links import Convolution2D, FrozenBatchNormalization
from chainfpn.links.layers import convolve
from reference import fake_cudnn, fake_cupy
from reference.fake_cudnn import Engine, Library
from reference.normalizations import fill

TOLERANCES = {np.float16: 2e-2, np.float32: 3e-6, np.float64: 1e-13}
#: With normalization, with a bias, with a residual, with a ReLU: all that has a bias in the end.
STEPS = [
    (norm, bias, adds, relu)
    for norm in (True, False)
    for bias in (True, False)
    for adds in (True, False)
    for relu in (True, False)
    if norm or bias
]


@pytest.fixture(autouse=True)
def inference(monkeypatch):
    monkeypatch.setattr(_convolution_2d, "_is_ours", lambda arrays: True)
    fake_cudnn.forget()
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        yield
    fake_cudnn.forget()


def make(norm=True, bias=True, adds=True, relu=True, dtype=np.float32):
    """Return a function that convolves, normalizes, adds and rectifies, and its result on a CPU, in float64."""
    rng = np.random.default_rng(0)
    with chainer.using_config("dtype", dtype):
        conv = Convolution2D(8, 12, 3, stride=2, pad=1, nobias=not bias, groups=2)
        link = fill(FrozenBatchNormalization(12)) if norm else None
    for param in conv.params():
        param.array[...] = rng.uniform(-1, 1, param.shape)
    x, residual = (rng.uniform(-1, 1, shape).astype(dtype) for shape in ((2, 8, 9, 10), (2, 12, 5, 5)))

    def run(x=x):
        return convolve(conv, conv.xp.asarray(x), link, conv.xp.asarray(residual) if adds else None, relu=relu).array

    expected = run()
    for part in filter(None, (conv, link)):
        part.to_device("@cupy:0")
    run.conv = conv
    return run, expected


def fused_runs(library):
    """Count the runs of plans that are more than a convolution, but for that of the small one ahead."""
    return sum(len(pack[cudnn_graph.PACK_IDS]) > 3 for _, _, pack in library.executed) - 1


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(
    "steps", STEPS, ids=lambda steps: "+".join(np.array(["norm", "bias", "sum", "relu"])[[*steps]])
)
def test_every_run_gives_the_numbers_of_a_cpu(steps, dtype, monkeypatch):
    library = None
    if fake_cupy.is_installed():
        library = fake_cudnn.install(monkeypatch, Library([Engine(computes=True)]))
    run, expected = make(*steps, dtype)
    for _ in range(4):
        y = run()
        assert (y.dtype, y.flags.c_contiguous) == (dtype, True)
        np.testing.assert_allclose(y.get(), expected, rtol=0, atol=TOLERANCES[dtype] * np.abs(expected).max())
    assert library is None or fused_runs(library) == 5  # three of the trial, two after it
    assert not gpu_epilogue.problem() or library is None


@pytest.fixture
def install(monkeypatch):
    """Give a function that puts a cuDNN with such an engine in the place of the real one; it notes and computes."""
    return lambda engine=None, **options: fake_cudnn.install(
        monkeypatch, Library([engine or Engine(computes=True)], **options)
    )


@pytest.mark.fake_gpu
def test_the_graph_adds_the_residual_and_the_bias_and_rectifies(install):
    library = install()
    run, _ = make(dtype=np.float16)
    run(), run()
    graph = library.made(cudnn_graph.GRAPH)[-1]
    convolution, *pointwise = graph[cudnn_graph.GRAPH_OPERATIONS]
    kinds = [p[cudnn_graph.POINTWISE_OF][0] for p in pointwise]
    assert [kind[cudnn_graph.POINTWISE_KIND] for kind in kinds] == [[0], [0], [100]]
    assert all(kind[cudnn_graph.POINTWISE_COMPUTE] == [0] for kind in kinds)  # in float32
    shapes = [p[cudnn_graph.POINTWISE_B][0][cudnn_graph.TENSOR_DIMS] for p in pointwise[:2]]
    assert shapes == [[2, 12, 5, 5], [1, 12, 1, 1]]
    between = [convolution[705][0], *(p[cudnn_graph.POINTWISE_Y][0] for p in pointwise[:2])]
    assert between == [p[cudnn_graph.POINTWISE_X][0] for p in pointwise]
    assert all(t[cudnn_graph.TENSOR_IS_VIRTUAL] == [True] and t[cudnn_graph.TENSOR_DTYPE] == [0] for t in between)
    result = pointwise[-1][cudnn_graph.POINTWISE_Y][0]
    assert cudnn_graph.TENSOR_IS_VIRTUAL not in result
    assert result[cudnn_graph.TENSOR_DTYPE] == [2]


@pytest.mark.fake_gpu
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"fuses": False}, "no engine keeps to the rules"),
        ({"engine": Engine(computes=True, refuses="plan")}, "cudnnBackendFinalize: CUDNN_STATUS_NOT_SUPPORTED"),
        ({"engine": Engine(computes=True, refuses="run")}, "cudnnBackendExecute: CUDNN_STATUS_NOT_SUPPORTED"),
        ({"engine": Engine(computes=True, error=1.0)}, "a result of cuDNN was "),
    ],
    ids=["no engine", "no plan", "no run", "wrong"],
)
def test_a_cudnn_that_cannot_is_asked_once(options, reason, install):
    library = install(**options)
    run, expected = make()
    for _ in range(3):
        np.testing.assert_allclose(run().get(), expected, atol=3e-6 * expected.max())
    assert reason in gpu_epilogue.problem()
    assert fused_runs(library) <= 0
    assert f"bias, sum and ReLU after them ({reason}" in info._cudnn()


@pytest.fixture
def other_plan(install):
    """Give a cuDNN that knows one convolution well, and an engine for all others."""
    library, engine = install(), Engine(computes=True)
    assert not gpu_epilogue.problem()
    library.engines[cudnn_graph.HEURISTICS[0]] = [engine]
    return library, engine


@pytest.mark.fake_gpu
@pytest.mark.parametrize("step", ["plan", "run"])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_convolution_that_is_refused_is_computed_in_two_steps(step, is_late, other_plan):
    _, engine = other_plan
    run, expected = make()
    for n in range(5):
        if n == (3 if is_late else 0):
            engine.refuses = step
            gpu_convolution._plan.cache_clear()
        np.testing.assert_allclose(run().get(), expected, atol=3e-6 * expected.max())
    assert list(gpu_epilogue._is_good.values()) == [False]
    assert not gpu_epilogue.problem()  # others may do


@pytest.mark.fake_gpu
def test_a_wrong_plan_is_the_last_one(other_plan):
    library, engine = other_plan
    engine.error = 1.0
    run, expected = make()
    run()
    with pytest.warns(RuntimeWarning, match="go by a kernel of their own from now on: a result of cuDNN was off by"):
        run()
    n = fused_runs(library)
    other, others = make(relu=False)
    for _ in range(3):
        np.testing.assert_allclose(run().get(), expected, atol=3e-6 * expected.max())
        np.testing.assert_allclose(other().get(), others, atol=3e-6 * others.max())
    assert fused_runs(library) == n
    assert "after them (a result of cuDNN was off by" in info._cudnn()


@pytest.mark.fake_gpu
@pytest.mark.parametrize("value", [0, np.nan])
def test_numbers_that_tell_nothing_decide_nothing(value, install):
    library = install()
    run, _ = make(norm=False, adds=False)
    run.conv.b.array[...] = 0
    for n in range(3):
        assert run(np.full((2, 8, 9, 10), value, np.float32)).shape == (2, 12, 5, 5)
        assert fused_runs(library) == n
    assert not gpu_epilogue._is_good


@pytest.mark.fake_gpu
def test_a_slower_plan_is_not_taken(install, monkeypatch):
    install()
    times = iter([2.0, 1.0])
    monkeypatch.setattr(gpu_epilogue, "milliseconds", lambda run: next(times))
    run, expected = make()
    for _ in range(3):
        np.testing.assert_allclose(run().get(), expected, atol=3e-6 * expected.max())
    assert list(gpu_epilogue._is_good.values()) == [False]


@pytest.mark.fake_gpu
def test_it_can_be_switched_off(install, monkeypatch):
    library = install()
    run, _ = make()
    with chainer.using_config("cudnn_deterministic", True):
        for _ in range(3):
            run()
    monkeypatch.setenv(gpu_epilogue.VARIABLE, "0")
    for _ in range(3):
        run()
    assert not any(len(pack[cudnn_graph.PACK_IDS]) > 3 for _, _, pack in library.executed)
    assert "after them (CHAINFPN_CUDNN_FUSION=0)" in info._cudnn()


@pytest.mark.fake_gpu
def test_few_convolutions_are_tried(install, monkeypatch):
    library = install()
    monkeypatch.setattr(gpu_epilogue, "MAX_TRIALS", 1)
    for relu in (True, False):
        run, _ = make(relu=relu)
        for _ in range(3):
            run()
    assert fused_runs(library) == 4


@pytest.mark.fake_gpu
def test_info_says_that_they_are_fused(install):
    install()
    assert "bias, sum and ReLU with them, where that is not slower" in info._cudnn()


@pytest.mark.fake_gpu
@pytest.mark.parametrize("fuses", [True, False])
def test_the_benchmark_shows_both_ways(fuses, install):
    install(fuses=fuses)
    layer = benchmark.Layer(4, 6, 3, 1, 1, 9, 10)
    *_, line = benchmark.measure_fusion(Machine("cuda"), (layer,))
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[0] == str(layer)
    assert (cells[3] == "no engine keeps to the rules") is not fuses
