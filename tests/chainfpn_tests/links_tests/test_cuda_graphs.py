"""The engine cuda-graph: the numbers of Chainer whatever changes, and one launch for maps and head where it can be.

What a graph may not do, and what becomes of the memory that it uses, is found out by the fake.
"""

import contextlib
import copy
import gc
import pickle
import threading
import types
import weakref
from concurrent.futures import ThreadPoolExecutor

import chainer
import numpy as np
import pytest
from chainer import function_hooks, serializers
from chainer.backends import cuda

import detect
from bench_utils.machine import Machine
from chainfpn import models
from chainfpn.functions.kernels import cuda_graph, gpu_convolution
from chainfpn.links.detectors import cuda_graphs
from chainfpn.links.detectors.cuda_graphs import N_USUAL, maps_of
from reference import fake_cudnn, fake_cupy
from reference.fake_cudnn import Engine, Library
from reference.slim_detectors import SLIM

pytestmark = pytest.mark.gpu

#: In place of weights: none are loaded.
FRESH = types.SimpleNamespace(load_into=lambda link: link)
#: Detectors whose maps and heads are computed otherwise; masks and keypoints come behind both.
FAMILIES = ("faster_rcnn", pytest.param("retinanet", marks=pytest.mark.thorough), "retinanet_v2", "fcos", "ssd")


def problem_of_cudnn():
    """Return why no convolution can be captured."""
    return "it is CuPy's own" if chainer.should_use_cudnn(">=auto") else gpu_convolution.cudnn_problem()


@pytest.fixture(autouse=True)
def cudnn(monkeypatch):
    """Put a cuDNN that computes in the place of none, and time nothing."""
    if not fake_cupy.is_installed():
        if problem_of_cudnn():
            pytest.skip(f"cuDNN: {problem_of_cudnn()}")
    else:
        fake_cudnn.install(monkeypatch, Library([Engine(computes=True)]))
    monkeypatch.setattr(cuda_graphs, "_duration", lambda run: 1.0)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        yield
    fake_cudnn.forget()
    cuda_graph._stream.cache_clear()


def make_slim():
    np.random.seed(0)
    slim = models.fasterrcnn_resnet_fpn(
        18, n_fg_class=3, stages=(1,), fpn_channels=8, head_channels=8, min_size=64, max_size=64
    )
    slim.to_device("@cupy:0")
    return slim


@pytest.fixture
def plain():
    """Return a detector on the engine chainer, which shares its weights with others."""
    return make_slim()


@pytest.fixture
def detector(plain):
    return plain.to_engine("cuda-graph")


def batch(seed=0, size=(64, 64)):
    return cuda.cupy.asarray(np.random.default_rng(seed).standard_normal((1, 3, *size)).astype(np.float32))


def arrays(detector, x):
    """Return maps and predictions."""
    hs = maps_of(detector, x)
    predictions = getattr(hs, "predictions", None) or detector.rpn.head(hs)
    return [h.array.get() for level in (hs, *predictions) for h in level]


def assert_close(ys, expected):
    for y, z in zip(ys, expected, strict=True):
        tolerance = 1e-2 if z.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(y, z, rtol=tolerance, atol=tolerance * np.abs(z).max())


def check(detector, plain, x):
    """Compare with the engine chainer."""
    assert_close(arrays(detector, x), arrays(plain, x))


def is_one_launch(detector, x):
    """Return whether maps and head are one launch, beside the copies of input and results."""
    with fake_cupy.count() as counts:
        arrays(detector, x)
    return launches(counts).count("graph") == 1 and set(launches(counts)) == {"fill", "graph", "copy"}


def launches(counts):
    return [event.what for event in counts.events if event.kind == "launch"]


def capture(detector, x):
    """Compute so often that there is a graph."""
    for _ in range(N_USUAL + 1):
        arrays(detector, x)


def n_graphs(detector):
    return len(cuda_graphs._of_detector[detector]._graphs)


@pytest.mark.parametrize("name", FAMILIES)
def test_detections_are_those_of_the_engine_chainer(name):
    np.random.seed(0)
    small = {"stages": (1,), "min_size": 64, "max_size": 64}
    options = {"pretrained_model": FRESH} if name == "ssd" else {**SLIM[name].options, **small}
    plain = SLIM[name].builder(**options)
    plain.score_thresh = 0.0
    plain.to_device("@cupy:0")
    detector = plain.to_engine("cuda-graph")
    for seed in range(N_USUAL + 2):
        img = np.random.default_rng(seed).uniform(0, 255, (3, 64, 64)).astype(np.float32)
        with fake_cupy.count() as counts:
            (found,) = detector.detect([img])
        (expected,) = plain.detect([img])
        np.testing.assert_array_equal(found.label, expected.label)
        np.testing.assert_allclose(found.bbox, expected.bbox, atol=1e-3)
        np.testing.assert_allclose(found.score, expected.score, atol=1e-5)
        assert len(found.label) > 5
    assert n_graphs(detector) == 1
    assert not fake_cupy.is_installed() or launches(counts).count("graph") == 1, counts.table("launch")


@pytest.mark.fake_gpu
def test_the_third_batch_of_a_shape_is_captured_and_the_fourth_is_one_launch(detector, plain):
    for n in range(N_USUAL + 3):
        check(detector, plain, batch(n))
        assert n_graphs(detector) == int(n >= N_USUAL)
    assert is_one_launch(detector, batch())
    check(detector, plain, batch(size=(64, 96)))  # as usual
    assert is_one_launch(detector, batch(1))
    img = np.zeros((3, 64, 64), np.uint8)
    detector.predict([img])
    with fake_cupy.count() as counts:
        detector.predict([img])
    assert len(launches(counts)) <= 80, counts.table("launch")


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions(dtype):
    with chainer.using_config("dtype", dtype):
        plain = make_slim()
        detector = plain.to_engine("cuda-graph")
        x = batch().astype(dtype)
        capture(detector, x)
        assert n_graphs(detector) == 1
        check(detector, plain, x + 1)


def test_what_is_written_into_weights_and_statistics_counts(detector, plain):
    capture(detector, batch())
    body = plain.backbone.body  # whose arrays are those of the detector
    body.conv1.W.array *= 2
    body.bn1.avg_mean += 0.5
    plain.rpn.head.cls_logits.b.array += 3
    check(detector, plain, batch(1))
    assert n_graphs(detector) == 1


def _replace_weights(detector):
    detector.rpn.head.conv.W.array = detector.rpn.head.conv.W.array * 2


def _replace_statistics(detector):
    detector.backbone.body.bn1.avg_var = detector.backbone.body.bn1.avg_var * 3


def _replace_an_attribute(detector):
    detector.backbone.body.bn1.eps = 0.5


def _replace_a_link(detector):
    detector.rpn.head.cls_logits = copy.deepcopy(detector.rpn.head.cls_logits)
    detector.rpn.head.cls_logits.W.array *= 2


def _send_away_and_back(detector):
    detector.to_device("@numpy")
    detector.backbone.body.conv1.W.array *= 2
    detector.to_device("@cupy:0")


@pytest.mark.parametrize(
    "replace",
    [_replace_weights, _replace_statistics, _replace_an_attribute, _replace_a_link, _send_away_and_back],
)
def test_what_is_replaced_drops_the_graph(replace, detector):
    capture(detector, batch())
    kept = weakref.ref(next(iter(cuda_graphs._of_detector[detector]._graphs.values())).graph)
    before = arrays(detector, batch(1))
    replace(detector)
    plain = detector.to_engine("chainer")
    check(detector, plain, batch(1))
    assert n_graphs(detector) == 0
    assert kept() is None
    assert any((y != z).any() for y, z in zip(arrays(detector, batch(1)), before, strict=True))
    capture(detector, batch())
    assert n_graphs(detector) == 1
    check(detector, plain, batch(2))


def test_a_copy_and_a_detector_that_was_saved_have_graphs_of_their_own(detector, plain, tmp_path):
    x = batch()
    capture(detector, x)
    other = copy.deepcopy(detector)
    assert other.engine == "cuda-graph"
    other.backbone.body.conv1.W.array *= 2
    capture(other, x)
    check(other, other.to_engine("chainer"), x)
    check(detector, plain, x)
    pickled = pickle.loads(pickle.dumps(detector))
    capture(pickled, x)
    check(pickled, plain, x)
    serializers.save_npz(tmp_path / "weights.npz", other)
    serializers.load_npz(tmp_path / "weights.npz", detector)  # into the arrays that are there
    check(detector, other, batch(1))
    assert n_graphs(detector) == n_graphs(other) == n_graphs(pickled) == 1


@pytest.mark.fake_gpu
def test_the_memory_goes_with_the_detector():
    detector = make_slim().to_engine("cuda-graph")
    capture(detector, batch())
    gone, (kept,) = weakref.ref(detector), cuda_graphs._of_detector[detector]._graphs.values()
    pool = kept.graph._pool
    assert pool.total_bytes()
    del detector, kept
    gc.collect()
    assert gone() is None
    assert not pool.total_bytes()


def test_a_graph_makes_room_that_had_no_use_for_long(detector, plain, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 2)
    monkeypatch.setattr(cuda_graphs, "MAX_IDLE", 6)
    sizes = [(64, 64), (64, 96), (96, 64)]
    for size in sizes:
        capture(detector, batch(size=size))
    assert sorted(key[0][2:] for key in cuda_graphs._of_detector[detector]._graphs) == sizes[:2]
    for _ in range(3):
        check(detector, plain, batch(1, sizes[1]))
        check(detector, plain, batch(1, sizes[2]))
    assert sorted(key[0][2:] for key in cuda_graphs._of_detector[detector]._graphs) == sizes[1:]


class Refusing(Library):
    """Fails at a capture."""

    def cudnnBackendExecute(self, *args):
        is_capturing = cuda.cupy.cuda.get_current_stream().is_capturing()
        return fake_cudnn.NOT_SUPPORTED if is_capturing else super().cudnnBackendExecute(*args)


def _without_cudnn(monkeypatch):
    monkeypatch.setattr(chainer.config, "use_cudnn", "never")


def _with_a_cudnn_that_refuses(monkeypatch):
    fake_cudnn.install(monkeypatch, Refusing([Engine(computes=True)]))


def _with_other_numbers(monkeypatch):
    run = cuda_graph.CudaGraph.run
    monkeypatch.setattr(cuda_graph.CudaGraph, "run", lambda graph, x: [y + 1 for y in run(graph, x)])


def _slower(monkeypatch):
    durations = iter((2.0, 1.0))
    monkeypatch.setattr(cuda_graphs, "_duration", lambda run: next(durations))


def _without_memory(monkeypatch):
    monkeypatch.setattr(cuda.cupy.cuda.runtime, "memGetInfo", lambda: (1 << 10, 1 << 30))


def _in_the_pool_of_all(monkeypatch):
    monkeypatch.setattr(cuda.cupy.cuda, "using_allocator", contextlib.nullcontext)


@pytest.mark.fake_gpu
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_without_cudnn, "NotImplementedError: calling cuBLAS API"),
        (_with_a_cudnn_that_refuses, "CudnnError: cudnnBackendExecute: "),
        (_with_other_numbers, "its numbers are others"),
        (_slower, "it takes longer"),
        (_without_memory, "MemoryError: it would keep [1-9] MiB and leave 0 MiB"),
        (_in_the_pool_of_all, "a graph uses memory that was freed"),
    ],
)
def test_a_graph_that_is_no_good_is_not_kept(spoil, reason, detector, plain, monkeypatch):
    spoil(monkeypatch)
    for n in range(N_USUAL):
        arrays(detector, batch(n))
    with pytest.warns(RuntimeWarning, match=reason) as warned:
        check(detector, plain, batch(2))
    assert len(warned) == 1
    for size in ((64, 64), (64, 96)):  # warnings are errors
        capture(detector, batch(size=size))
        check(detector, plain, batch(3, size))
    assert n_graphs(detector) == 0
    assert not gpu_convolution._failed
    assert not cuda_graph._stream(0).is_capturing()


@pytest.mark.parametrize("name", ["train", "enable_backprop", "debug"])
def test_what_learns_or_is_checked_is_computed_as_usual(name, detector):
    capture(detector, batch())
    with chainer.using_config(name, True):
        hs = maps_of(detector, batch())
    assert not isinstance(hs, cuda_graphs.Maps)


def test_hooks_see_all(detector):
    capture(detector, batch())
    with function_hooks.TimerHook() as functions:
        assert not isinstance(maps_of(detector, batch()), cuda_graphs.Maps)
    assert functions.call_history
    seen = []

    class Hook(chainer.LinkHook):
        name = "hook"

        def forward_preprocess(self, args):
            seen.append(args.link)

    with Hook():
        maps_of(detector, batch())
    n_seen = len(seen)
    assert n_seen > 10
    detector.backbone.body.conv1.add_hook(Hook())
    maps_of(detector, batch())
    assert seen[n_seen:] == [detector.backbone.body.conv1]


def test_threads_share_a_graph(detector, plain):
    xs = [batch(n) for n in range(2)]
    expected = [arrays(plain, x) for x in xs]
    capture(detector, xs[0])
    barrier = threading.Barrier(2)

    def run(n):
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            barrier.wait()
            for _ in range(5):
                assert_close(arrays(detector, xs[n]), expected[n])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))  # raises what a thread raises


def test_streams_wait_for_each_other(detector, plain):
    xs = [batch(n) for n in range(2)]
    expected = [arrays(plain, x) for x in xs]
    capture(detector, xs[0])
    cuda.cupy.cuda.Device().synchronize()
    streams = [cuda.cupy.cuda.Stream(non_blocking=True) for _ in xs]
    found = []
    for stream, x in zip(streams, xs, strict=True):
        with stream:
            hs = maps_of(detector, x)
            found.append([h.array for level in (hs, *hs.predictions) for h in level])
    cuda.cupy.cuda.Device().synchronize()
    for ys, zs in zip(found, expected, strict=True):
        assert_close([y.get() for y in ys], zs)


@pytest.mark.fake_gpu
def test_the_benchmark_times_one_launch(monkeypatch):
    monkeypatch.setattr(models, "fasterrcnn_resnet50_fpn", lambda **options: make_slim())
    img = np.random.default_rng(0).uniform(0, 255, (3, 64, 64)).astype(np.float32)
    with fake_cupy.count() as counts:
        seconds, *_ = detect.ours(None, img, 64, 1, Machine("cuda"), "cuda-graph")
    assert seconds.keys() == {"prepare", "staged", "all"}
    assert launches(counts).count("graph") >= 2  # of the timed runs
    assert all(detect.median(detect.STAGES[name], seconds) >= 0 for name in detect.GRAPH_STAGES)


def test_there_and_back(detector, plain):
    assert (plain.engine, detector.engine) == ("chainer", "cuda-graph")
    assert detector.to_engine("cuda-graph") is detector
    assert detector.to_engine("auto").engine == "chainer"
    assert detector.to_engine("chainer").backbone.body.conv1.W.array is plain.backbone.body.conv1.W.array
