"""The convolution against Chainer's own, whose every option it has to equal."""

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check
from chainer.utils import type_check

from chainfpn import links
from chainfpn.functions import convolution_2d
from chainfpn.functions.kernels import channel_gradients, columns, import_compiled
from chainfpn.functions.kernels import convolution as kernels
from chainfpn.functions.kernels.epilogue import nothing

#: (B, C, H, W), (O, kh, kw), options.
CASES = {
    "1x1": ((2, 6, 5, 7), (4, 1, 1), {}),
    "1x1, every second pixel": ((2, 6, 5, 8), (4, 1, 1), {"stride": 2}),
    "1x1, uneven steps": ((2, 6, 5, 8), (4, 1, 1), {"stride": (2, 3)}),
    "1x1, padded": ((1, 3, 4, 4), (2, 1, 1), {"pad": 1}),
    "3x3": ((2, 3, 9, 7), (5, 3, 3), {"pad": 1}),
    "3x3, Winograd": ((2, 17, 25, 21), (16, 3, 3), {"pad": 1}),
    "3x3, Winograd, uneven padding": ((1, 16, 31, 35), (20, 3, 3), {"pad": (0, 2)}),
    "3x3, no padding": ((2, 3, 8, 7), (5, 3, 3), {}),
    "3x3, wide padding": ((1, 3, 4, 5), (2, 3, 3), {"pad": (3, 4)}),
    "3x3, even size, stride 2": ((2, 3, 8, 10), (5, 3, 3), {"stride": 2, "pad": 1}),
    "3x3, odd size, stride 2": ((2, 3, 9, 7), (5, 3, 3), {"stride": 2, "pad": 1}),
    "3x3, dilated": ((1, 4, 11, 10), (3, 3, 3), {"pad": 2, "dilate": 2}),
    "3x3 on one pixel": ((3, 4, 1, 1), (2, 3, 3), {"pad": 1}),
    "3x3 on one row": ((1, 4, 1, 6), (2, 3, 3), {"pad": 1}),
    "7x7 stem": ((1, 3, 17, 20), (4, 7, 7), {"stride": 2, "pad": 3}),
    "1x7": ((1, 3, 5, 9), (4, 1, 7), {"pad": (0, 3)}),
    "2x3, uneven steps": ((1, 3, 9, 11), (4, 2, 3), {"stride": (2, 3), "pad": (0, 1), "dilate": (3, 1)}),
    "stride over the kernel": ((1, 3, 9, 9), (4, 2, 2), {"stride": 3}),
    "stride over the padding": ((1, 3, 4, 4), (2, 7, 7), {"stride": 4, "pad": 3}),
    "taps beyond the map": ((2, 3, 2, 2), (4, 3, 3), {"pad": 5, "dilate": 4}),
    "grouped": ((2, 8, 6, 5), (4, 3, 3), {"pad": 1, "groups": 4}),
    "grouped, stride 2": ((2, 8, 6, 5), (16, 3, 3), {"stride": 2, "pad": 1, "groups": 4}),
    "grouped, few channels": ((2, 34, 7, 9), (51, 3, 3), {"pad": 1, "groups": 17}),
    "grouped, few channels, stride 2": ((1, 54, 8, 6), (36, 5, 3), {"stride": (2, 1), "pad": (2, 1), "groups": 18}),
    "grouped 1x1": ((2, 6, 4, 5), (9, 1, 1), {"groups": 3}),
    "depthwise": ((2, 6, 9, 8), (6, 3, 3), {"pad": 1, "groups": 6}),
    "depthwise, stride 2": ((2, 6, 9, 8), (6, 5, 5), {"stride": 2, "pad": 2, "groups": 6}),
    "depthwise, uneven": ((1, 5, 9, 12), (5, 3, 2), {"stride": (1, 3), "pad": (2, 0), "dilate": (2, 1), "groups": 5}),
    "depthwise, taps beyond the map": ((2, 3, 2, 2), (3, 3, 3), {"pad": 5, "dilate": 4, "groups": 3}),
    "depthwise, 20 channels": ((2, 20, 11, 19), (20, 5, 5), {"pad": 2, "groups": 20}),
    "depthwise, 7x7 / 2": ((1, 17, 12, 9), (17, 7, 7), {"stride": 2, "pad": 3, "groups": 17}),
    "depthwise, zeros beyond the taps": ((1, 3, 5, 4), (3, 3, 3), {"stride": (2, 1), "pad": (4, 3), "groups": 3}),
    "depthwise, stride over the kernel": ((1, 3, 9, 9), (3, 2, 2), {"stride": 3, "groups": 3}),
    "depthwise, two each": ((1, 4, 6, 6), (8, 3, 3), {"pad": 1, "groups": 4}),
}
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5, np.float16: 5e-3}


@pytest.fixture(params=[None, 2000], ids=["one block", "many blocks"])
def block_bytes(request, monkeypatch):
    """Cut even these small maps into blocks."""
    if request.param is not None:
        monkeypatch.setattr(kernels, "BLOCK_BYTES", request.param)
        monkeypatch.setattr(channel_gradients, "COLUMN_BYTES", request.param // 8)
        monkeypatch.setattr(channel_gradients, "LEAST_TAPS", 9)
        if winograd := import_compiled("winograd"):
            monkeypatch.setattr(winograd, "BLOCK_BYTES", (0, 10 * request.param))
        if grouped := import_compiled("numba_grouped"):
            monkeypatch.setattr(grouped, "SHARE_BYTES", request.param)
            monkeypatch.setattr(grouped, "BLOCK_BYTES", request.param)
            monkeypatch.setattr(grouped, "plan_strips", grouped.plan_strips.__wrapped__)
            monkeypatch.setattr("chainfpn.functions.kernels.grouped_plan.STRIP_BYTES", 5 * request.param)
            monkeypatch.setattr("chainfpn.functions.kernels.grouped_plan.TURNED", 16)


def case_arrays(name, dtype):
    (n, c, h, w), (o, kh, kw), options = CASES[name]
    rng = np.random.default_rng(0)
    shapes = ((n, c, h, w), (o, c // options.get("groups", 1), kh, kw), (o,))
    return [rng.uniform(-1, 1, shape).astype(dtype) for shape in shapes]


def with_gradients(function, arrays, options):
    variables = [chainer.Variable(a) for a in arrays]
    y = function(*variables, **options)
    gy = np.random.default_rng(1).uniform(-1, 1, y.shape).astype(y.dtype)
    gradients = chainer.grad([y], variables, [chainer.Variable(gy)])
    return [y.array, *(g.array for g in gradients)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_result_and_gradients_are_chainers(name, dtype, block_bytes):
    arrays, options = case_arrays(name, dtype), CASES[name][2]
    for mine, reference in zip(
        with_gradients(convolution_2d, arrays, options),
        with_gradients(F.convolution_2d, [a.astype(np.float64) for a in arrays], options),
        strict=True,
    ):
        assert mine.dtype == dtype
        assert mine.shape == reference.shape
        np.testing.assert_allclose(mine, reference, rtol=0, atol=TOLERANCE[dtype] * max(1, np.abs(reference).max()))


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_numeric_gradients(name):
    arrays, options = case_arrays(name, np.float64), CASES[name][2]
    gy = np.random.default_rng(1).uniform(-1, 1, convolution_2d(*arrays, **options).shape)
    check = {"dtype": np.float64, "eps": 1e-3, "atol": 1e-8, "rtol": 1e-7}
    gradient_check.check_backward(lambda *a: convolution_2d(*a, **options), arrays, gy, **check)
    second = [np.random.default_rng(2).uniform(-1, 1, a.shape) for a in arrays]
    gradient_check.check_double_backward(lambda *a: convolution_2d(*a, **options), arrays, gy, second, **check)


def test_winograd_is_taken_where_it_can_be_and_pays(monkeypatch):
    winograd = pytest.importorskip("chainfpn.functions.kernels.winograd")
    calls = []
    for name in ("forward", "input_gradient", "weight_gradient"):
        original = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *a, n=name, f=original: calls.append(n) or f(*a))
    for name in CASES:
        calls.clear()
        with_gradients(convolution_2d, case_arrays(name, np.float32), CASES[name][2])
        expected = ["forward", "input_gradient", "weight_gradient"] if "Winograd" in name else []
        assert sorted(calls) == sorted(expected), name
    calls.clear()
    with_gradients(convolution_2d, case_arrays("3x3, Winograd", np.float64), {"pad": 1})
    assert not calls


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("most_in_parts", [0, 1 << 15])
def test_winograd_does_not_depend_on_the_number_of_threads(monkeypatch, most_in_parts, threads):
    winograd = pytest.importorskip("chainfpn.functions.kernels.winograd")
    monkeypatch.setattr(winograd, "MOST_IN_PARTS", most_in_parts)
    monkeypatch.setattr("chainfpn.functions.kernels.threads.SHARE", 1000)
    arrays = case_arrays("3x3, Winograd", np.float32)
    expected = with_gradients(convolution_2d, arrays, {"pad": 1})
    exact = with_gradients(F.convolution_2d, [a.astype(np.float64) for a in arrays], {"pad": 1})
    monkeypatch.setattr("chainfpn.functions.kernels.threads.N_THREADS", threads)
    for mine, same, near in zip(with_gradients(convolution_2d, arrays, {"pad": 1}), expected, exact, strict=True):
        np.testing.assert_array_equal(mine, same)
        np.testing.assert_allclose(mine, near, rtol=0, atol=1e-5 * np.abs(near).max())


def test_winograd_loses_little_precision():
    winograd = pytest.importorskip("chainfpn.functions.kernels.winograd")
    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((1, 256, 32, 32)), rng.standard_normal((64, 256, 3, 3)) / 48
    exact = F.convolution_2d(x, W, pad=1).array
    y = winograd.forward(x.astype(np.float32), W.astype(np.float32), (1, 1), nothing(np.float32))
    assert np.abs(y - exact).max() < 3e-6 * np.abs(exact).max()
    assert np.sqrt(np.mean((y - exact) ** 2)) < 2e-6 * exact.std()


@pytest.mark.parametrize(
    "name",
    [
        *("3x3, Winograd", "depthwise, stride 2", "2x3, uneven steps", "1x1, padded", "7x7 stem"),
        *("stride over the padding", "taps beyond the map"),
    ],
)
def test_without_numba_the_direct_convolution_is_taken(name, monkeypatch):
    for module in (kernels, columns):
        monkeypatch.setattr(module, "import_compiled", lambda name: None)
    arrays, options = case_arrays(name, np.float32), CASES[name][2]
    pairs = (with_gradients(function, arrays, options) for function in (convolution_2d, F.convolution_2d))
    for mine, reference in zip(*pairs, strict=True):
        np.testing.assert_allclose(mine, reference, atol=1e-4)


def test_arrays_may_have_any_layout():
    x, W, b = case_arrays("3x3", np.float64)
    expected = F.convolution_2d(x, W, b, pad=1).array
    layouts = [np.asfortranarray, lambda a: a[::-1].copy()[::-1], lambda a: np.repeat(a, 2, axis=-1)[..., ::2]]
    for layout in layouts:
        np.testing.assert_allclose(convolution_2d(layout(x), layout(W), layout(b), pad=1).array, expected, atol=1e-12)
    gy = np.asfortranarray(np.random.default_rng(3).uniform(-1, 1, expected.shape))
    for function in (F.convolution_2d, convolution_2d):
        variables = [chainer.Variable(a) for a in (x, W, b)]
        gradients = chainer.grad([function(*variables, pad=1)], variables, [chainer.Variable(gy)])
        if function is F.convolution_2d:
            reference = gradients
    for mine, theirs in zip(gradients, reference, strict=True):
        np.testing.assert_allclose(mine.array, theirs.array, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_an_empty_batch_passes(groups):
    x, W = np.zeros((0, 4, 6, 6), np.float32), np.ones((4, 4 // groups, 3, 3), np.float32)
    y, gx, gW = with_gradients(convolution_2d, (x, W), {"pad": 1, "groups": groups})
    assert (y.shape, gx.shape) == ((0, 4, 6, 6), x.shape)
    assert not gW.any()


def test_inputs_stay_as_they_are():
    arrays = case_arrays("3x3", np.float32)
    before = [a.copy() for a in arrays]
    with_gradients(convolution_2d, arrays, {"pad": 1})
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_nobody_asks_for_are_not_computed(monkeypatch):
    def fail(*args):
        raise AssertionError("computed")

    monkeypatch.setattr(kernels, "input_gradient", fail)
    link = links.Convolution2D(3, 4, 3, pad=1)
    link.cleargrads()
    loss = F.sum(link(np.ones((1, 3, 5, 5), np.float32)))
    loss.backward()
    np.testing.assert_allclose(link.b.grad, 25)


def test_half_precision_input_meets_single_precision_weights():
    x, W, b = case_arrays("3x3", np.float32)
    x, b = x.astype(np.float16), b.astype(np.float16)
    y, gx, gW, gb = with_gradients(convolution_2d, (x, W, b), {"pad": 1})
    assert [a.dtype for a in (y, gx, gW, gb)] == [np.float16, np.float16, np.float32, np.float16]
    np.testing.assert_allclose(y, F.convolution_2d(x, W, b, pad=1).array, atol=5e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, r"convolution_2d: stride must be a positive int or a pair of them, got 0"),
        ({"pad": -1}, r"convolution_2d: pad must be a non-negative int or a pair of them, got -1"),
        ({"dilate": (1, 0)}, r"convolution_2d: dilate must be a positive int or a pair of them, got \(1, 0\)"),
        ({"groups": 3}, r"convolution_2d: groups must be > 0 and divide W's 5 output channels, got 3"),
        ({"groups": 0}, r"convolution_2d: groups must be > 0 and divide W's 5 output channels, got 0"),
        ({"dilate": 5}, r"convolution_2d: x must hold a window of \(3, 3\), got shape \(2, 3, 9, 7\) for Geometry"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        convolution_2d(*case_arrays("3x3", np.float32), **options)


def test_shapes_that_do_not_fit_are_refused():
    x, W, b = case_arrays("3x3", np.float32)
    for wrong in ((x[:, :2], W, b), (x, W[:, :2], b), (x, W, b[:2]), (x[0], W, b), (x, W, b.astype(np.float64))):
        with pytest.raises(type_check.InvalidType):
            convolution_2d(*wrong)


def test_the_link_is_chainers_link(tmp_path):
    chainers = chainer.links.Convolution2D(None, 4, 3, stride=2, pad=1, groups=2)
    mine = links.Convolution2D(None, 4, 3, stride=2, pad=1, groups=2)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 6, 9, 7)).astype(np.float32)
    expected = chainers(x).array
    assert mine(x).shape == expected.shape
    chainer.serializers.save_npz(tmp_path / "link.npz", chainers)
    chainer.serializers.load_npz(tmp_path / "link.npz", mine)
    np.testing.assert_allclose(mine(x).array, expected, atol=1e-6)
    assert isinstance(mine, chainer.links.Convolution2D)


def test_the_node_has_the_name_and_attributes_that_exporters_read():
    y = convolution_2d(*case_arrays("2x3, uneven steps", np.float32), **CASES["2x3, uneven steps"][2])
    node = y.creator
    assert type(node).__name__ == "Convolution2DFunction"
    assert (node.sy, node.sx, node.ph, node.pw, node.dy, node.dx, node.groups) == (2, 3, 0, 1, 3, 1, 1)
