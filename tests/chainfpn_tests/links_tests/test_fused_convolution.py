"""Convolution, normalization, sum and ReLU block by block: the numbers of one after the other, and when it is done."""

import contextlib

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check
from chainer.backends.cuda import to_cpu
from chainer.link_hooks import TimerHook
from chainer.utils import type_check

from chainfpn.functions._convolution_2d import Convolution2DFunction, FusedConvolution, fused_convolution_2d
from chainfpn.functions.kernels import convolution as kernels
from chainfpn.functions.kernels import plain_numpy, threads
from chainfpn.links import BatchNormalization, Convolution2D, FrozenBatchNormalization, IndexedSequential
from chainfpn.links.backbones.resnet import Bottleneck
from chainfpn.links.layers import convolve
from chainfpn.training import freeze
from reference.normalizations import fill

#: Every algorithm: in channels, out channels, size of the kernel, options.
CONVOLUTIONS = {
    "1x1": (8, 12, 1, {}),
    "3x3 / 2": (6, 10, 3, {"stride": 2, "pad": 1}),
    "grouped": (8, 12, 3, {"pad": 1, "groups": 2}),
    "Winograd": (16, 18, 3, {"pad": 1}),
    "depthwise": (20, 20, 3, {"pad": 1, "groups": 20}),
    "depthwise, two each": (17, 34, 3, {"pad": 1, "groups": 17}),
}
NORMS = {"none": lambda n: None, "frozen": FrozenBatchNormalization, "batch": BatchNormalization}


class Steps(chainer.FunctionHook):
    """Sees every function: with it, nothing is fused."""

    name = "steps"

    def __init__(self):
        self.labels = []

    def forward_preprocess(self, function, in_data):
        self.labels.append(function.label)


def make(name, norm, dtype, *, nobias=False):
    """Return a convolution, its normalization, an input and something to add."""
    n_in, n_out, ksize, options = CONVOLUTIONS[name]
    with chainer.using_config("dtype", dtype):
        conv = Convolution2D(n_in, n_out, ksize, nobias=nobias, **options)
        link = NORMS[norm](n_out)
    for number, param in enumerate(conv.params()):
        param.array[...] = np.random.default_rng(number).uniform(-1, 1, param.shape)
    link = None if link is None else fill(link)
    x = np.random.default_rng(2).uniform(-1, 1, (2, n_in, 27, 30)).astype(dtype)
    return conv, link, x, np.random.default_rng(3).uniform(-1, 1, conv(x).shape).astype(dtype)


@pytest.fixture
def inference():
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        yield


@pytest.mark.usefixtures("inference")
@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 2e-2), (np.float32, 3e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_it_equals_one_after_the_other(name, norm, dtype, tolerance, engine, monkeypatch):
    if engine == "numpy":
        monkeypatch.setattr(kernels, "import_compiled", lambda module: None)
        monkeypatch.setattr("chainfpn.functions.kernels.epilogue.import_compiled", lambda module: None)
    conv, link, x, residual = make(name, norm, dtype, nobias=norm == "frozen")
    kept = residual.copy()
    for adds, relu in ((False, False), (True, True), (False, True), (True, False)):
        y = convolve(conv, x, link, residual if adds else None, relu=relu)
        with Steps() as steps:
            expected = convolve(conv, x, link, residual if adds else None, relu=relu).array
        assert steps.labels
        assert y.dtype == dtype
        assert y.creator is None
        np.testing.assert_allclose(y.array, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    np.testing.assert_array_equal(residual, kept)


@pytest.mark.gpu
@pytest.mark.usefixtures("inference")
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 2e-2), (np.float32, 3e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["1x1", "3x3 / 2", "grouped"])
def test_it_equals_one_after_the_other_on_a_gpu(name, norm, dtype, tolerance):
    conv, link, x, residual = make(name, norm, dtype)
    conv.to_device("@cupy:0")
    link = link and link.to_device("@cupy:0")
    x, residual = map(conv.xp.asarray, (x, residual))
    kept = residual.copy()
    for adds, relu in ((False, False), (True, True), (False, True), (True, False)):
        y = convolve(conv, x, link, residual if adds else None, relu=relu)
        with Steps() as steps:
            expected = convolve(conv, x, link, residual if adds else None, relu=relu).array.get()
        assert steps.labels
        assert (y.creator, y.dtype) == (None, dtype)
        np.testing.assert_allclose(y.array.get(), expected, rtol=0, atol=tolerance * np.abs(expected).max())
    assert (residual == kept).all()


@pytest.mark.usefixtures("inference")
@pytest.mark.parametrize(("place", "name", "size"), [(kernels, "BLOCK_BYTES", 8 << 10), (threads, "SHARE", 200)])
@pytest.mark.parametrize("kind", ["1x1", "3x3 / 2", "grouped", "Winograd"])
def test_threads_share_blocks_of_pixels_or_the_channels_of_one(kind, place, name, size, monkeypatch):
    conv, link, x, residual = make(kind, "frozen", np.float32, nobias=True)
    expected = convolve(conv, x[:1], link, residual[:1], relu=True).array
    monkeypatch.setattr(place, name, size)
    y = convolve(conv, x[:1], link, residual[:1], relu=True).array
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


@pytest.mark.usefixtures("inference")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_batch_without_an_image_passes(name):
    """As a mask head's where nothing was found."""
    conv, link, x, residual = make(name, "frozen", np.float32)
    assert convolve(conv, x[:0], link, residual[:0], relu=True).shape == (0, *residual.shape[1:])


@pytest.mark.usefixtures("inference")
def test_weights_and_statistics_count_as_they_are_now():
    conv, link, x, _ = make("3x3 / 2", "batch", np.float64)
    first = convolve(conv, x, link).array
    conv.W.array[...] *= 2
    link.beta.array[...] += 1
    link.avg_mean[...] -= 3
    with Steps():
        expected = convolve(conv, x, link).array
    assert np.abs(expected - first).max() > 0.1
    np.testing.assert_allclose(convolve(conv, x, link).array, expected, atol=1e-12)


@pytest.mark.parametrize(("norm", "train", "backprop"), [("batch", True, False), ("frozen", False, True)])
def test_a_normalization_that_learns_and_gradients_outside_of_training_go_step_by_step(
    norm, train, backprop, monkeypatch
):
    def fail(*args):
        raise AssertionError("fused")

    monkeypatch.setattr("chainfpn.functions._convolution_2d.epilogue_of", fail)
    conv, link, x, residual = make("1x1", norm, np.float32, nobias=True)
    with chainer.using_config("train", False), chainer.using_config("enable_backprop", False):
        with pytest.raises(AssertionError, match="fused"):
            convolve(conv, x, link, residual, relu=True)
        with chainer.using_config("train", train), chainer.using_config("enable_backprop", backprop):
            y = convolve(conv, x, link, residual, relu=True)
    assert (y.creator is not None) == backprop


def with_gradients(conv, link, arrays, gy, *, relu):
    """Return the result of a training's forward pass and the gradients of all inputs and parameters."""
    x, residual = (None if a is None else chainer.Variable(a) for a in arrays)
    y = convolve(conv, x, link, residual, relu=relu)
    wanted = [v for v in (x, *conv.params(), residual) if v is not None]
    return y, [y.array, *(g.array for g in chainer.grad([y], wanted, [chainer.Variable(gy)]))]


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 2e-2), (np.float32, 3e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("norm", ["none", "frozen"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_training_has_one_node_and_the_same_gradients(name, norm, dtype, tolerance, engine, monkeypatch):
    if engine == "numpy":
        for module in ("kernels.convolution", "kernels.epilogue", "_fixed_normalization"):
            monkeypatch.setattr(f"chainfpn.functions.{module}.import_compiled", lambda name: None)
    conv, link, x, residual = make(name, norm, dtype, nobias=norm == "frozen")
    for added, relu in ((residual, True), (None, True), (residual, False), (None, False)):
        before = convolve(conv, x, link, added).array
        gy = np.random.default_rng(4).uniform(-1, 1, before.shape) * (abs(before) > 0.02 * abs(before).max())
        y, mine = with_gradients(conv, link, (x, added), gy.astype(dtype), relu=relu)
        with Steps() as steps:
            _, reference = with_gradients(conv, link, (x, added), gy.astype(dtype), relu=relu)
        n_steps = 1 + (link is not None) + (link is None and added is not None) + (link is None and relu)
        assert len(steps.labels[:n_steps]) == n_steps
        assert type(y.creator) is (Convolution2DFunction if n_steps == 1 else FusedConvolution)
        assert len(y.creator.get_retained_outputs()) == relu  # what no gradient asks for is not kept
        assert {node.creator_node for node in y.creator.inputs} == {None}
        for a, b in zip(mine, reference, strict=True):
            assert (a.shape, a.dtype) == (b.shape, dtype)
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 2e-2), (np.float32, 3e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("norm", ["none", "frozen"])
@pytest.mark.parametrize("name", ["1x1", "3x3 / 2"])
def test_a_training_on_a_gpu_has_one_node_and_the_same_gradients(name, norm, dtype, tolerance):
    conv, link, x, residual = make(name, norm, dtype)
    conv.to_device("@cupy:0")
    link = link and link.to_device("@cupy:0")
    x, residual, signs = map(conv.xp.asarray, (x, residual, np.sign(residual)))
    for added, relu in ((residual, True), (None, True), (residual, False), (None, False)):
        before = convolve(conv, x, link, added).array
        gy = signs * (abs(before) > 0.02 * abs(before).max()).astype(dtype)  # far from where ReLU bends
        y, mine = with_gradients(conv, link, (x, added), gy, relu=relu)
        with Steps() as steps:
            _, reference = with_gradients(conv, link, (x, added), gy, relu=relu)
        is_plain = link is None and added is None and not relu
        assert len(steps.labels) > 1 + is_plain
        assert type(y.creator) is (Convolution2DFunction if is_plain else FusedConvolution)
        assert {node.creator_node for node in y.creator.inputs} == {None}
        for a, b in zip(mine, reference, strict=True):
            assert (a.shape, a.dtype) == (b.shape, dtype)
            np.testing.assert_allclose(a.get(), b.get(), rtol=0, atol=tolerance * abs(b).max().get())


@pytest.mark.parametrize("device", ["@numpy", pytest.param("@cupy:0", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("relu", [False, True])
def test_gradients_of_a_layer_on_several_maps_are_summed_in_place(device, relu):
    """Those of map, weights and bias, without a node for a sum; what was there before is left alone."""
    conv, _, x, _ = make("3x3 / 2", "none", np.float64)
    conv.to_device(device)
    x = chainer.Variable(conv.xp.asarray(x))
    parts = []
    for factor in (1, 1, 2):
        conv.cleargrads()
        x.cleargrad()
        F.sum(convolve(conv, x * factor, relu=relu)).backward()
        parts.append([v.grad.copy() for v in (x, conv.W, conv.b)])
    conv.cleargrads()
    x.cleargrad()
    given = [conv.xp.ones_like(v.array) for v in (conv.W, conv.b)]
    conv.W.grad, conv.b.grad = given
    loss = F.sum(F.concat([convolve(conv, h, relu=relu) for h in (x, x, x * 2)]))
    with Steps() as steps:
        loss.backward()
    assert steps.labels.count("_ + _") <= 2  # with the gradients that were there
    for k, v in enumerate((x, conv.W, conv.b)):
        expected = sum(part[k] for part in parts) + (k > 0)
        np.testing.assert_allclose(to_cpu(v.grad), to_cpu(expected), rtol=0, atol=1e-11)
    assert all((grad == 1).all() for grad in given)


def test_gradients_that_are_there_already():
    """Those of weights where the map has none; and that of a residual, which is the gradient of the result."""
    conv, _, x, residual = make("1x1", "none", np.float64)
    residual = chainer.Variable(residual)
    F.sum(convolve(conv, x)).backward()
    once = conv.W.grad.copy()
    with Steps() as steps:
        F.sum(convolve(conv, x, residual=residual)).backward()
    assert "ConvolutionGradient" in steps.labels  # whoever looks on sees each
    F.sum(convolve(conv, x, relu=True) + convolve(conv, x)).backward()
    positive = convolve(conv, x).array > 0
    others = 2 * once + chainer.grad([F.sum(F.convolution_2d(x, conv.W, conv.b) * positive)], [conv.W])[0].array
    np.testing.assert_allclose(conv.W.grad, once + others, rtol=0, atol=1e-11)
    residual.cleargrad()
    y = convolve(conv, x, residual=residual)
    F.sum(y * residual).backward(retain_grad=True)
    np.testing.assert_array_equal(y.grad, residual.array)
    np.testing.assert_allclose(residual.grad, y.array + residual.array, rtol=0, atol=1e-13)


@pytest.mark.parametrize("relu", [False, True])
def test_the_gradients_of_a_training_are_numeric_gradients(relu):
    conv, link, x, residual = make("3x3 / 2", "frozen", np.float64)
    arrays = x[:1, :, :5, :7], conv.W.array, conv.b.array, 9 + residual[:1, :, :3, :4]  # far from where ReLU bends

    def run(x, W, b, residual):
        conv.W, conv.b = W, b
        return fused_convolution_2d(x, conv, link.statistics, residual, relu=relu)

    shape, check = arrays[3].shape, {"dtype": np.float64, "eps": 1e-3, "atol": 1e-8, "rtol": 1e-7}
    shapes = shape, *(a.shape for a in arrays)
    gy, *second = (np.random.default_rng(k).uniform(-1, 1, s) for k, s in enumerate(shapes))
    del conv.W, conv.b
    gradient_check.check_backward(run, arrays, gy, **check)
    gradient_check.check_double_backward(run, arrays, gy, second, **check)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("norm", ["none", "frozen"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_gradients_computed_together_are_those_of_the_nodes(name, norm, n_threads, monkeypatch):
    monkeypatch.setattr(threads, "N_THREADS", n_threads)
    conv, link, x, residual = make(name, norm, np.float32, nobias=norm == "frozen")
    wanted = [chainer.Variable(x), *conv.params(), chainer.Variable(residual)]
    y = convolve(conv, wanted[0], link, wanted[-1], relu=True)
    given = chainer.Variable(np.random.default_rng(6).uniform(-1, 1, y.shape).astype(np.float32))
    together = chainer.grad([y], wanted, [given])
    with chainer.function_hooks.TimerHook() as hook:
        by_nodes = chainer.grad([y], wanted, [given])
    assert hook.call_history
    for a, b in zip(together, by_nodes, strict=True):
        np.testing.assert_array_equal(a.array, b.array)


@pytest.mark.parametrize("share", [1 << 17, 50])
@pytest.mark.parametrize("double", [False, True])
def test_the_gradient_of_a_map_that_several_read_is_their_sum(double, share, monkeypatch):
    monkeypatch.setattr("chainfpn.functions.kernels.product.SUM_SHARE", share)
    conv, link, x, residual = make("3x3 / 2", "frozen", np.float64)
    gradients = []
    for steps in (contextlib.nullcontext(), Steps()):
        v, other = chainer.Variable(x), chainer.Variable(residual)
        with steps:
            y = convolve(conv, v, link, other, relu=True)
            z = convolve(conv, v, link, y, relu=True) + F.sum(v) + F.transpose(F.transpose(other))
            gradients.append(chainer.grad([F.sum(z * z)], [v, other], enable_double_backprop=double))
    for mine, reference in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine.array, reference.array, rtol=1e-12, atol=1e-9)


def test_a_training_keeps_nothing_of_what_is_frozen_and_asks_for_no_gradient_below(monkeypatch):
    monkeypatch.setattr(kernels, "_fastest_winograd_for", pytest.fail)  # a measurement: a training has the same bits
    block = Bottleneck(8, 8, norm=FrozenBatchNormalization)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 8, 6, 7)).astype(np.float32)
    chainer.optimizers.SGD().setup(block)
    freeze(block)
    assert block(x).creator is None
    block.conv2.W = chainer.Parameter(block.conv2.W.array)
    block.cleargrads()
    y = block(x)
    y.grad = np.ones_like(y.array)
    y.backward()
    assert [name for name, param in block.namedparams() if param.grad is not None] == ["/conv2/W"]
    assert y.creator.inputs[0].creator_node.inputs[0].creator_node is None


@pytest.mark.usefixtures("inference")
def test_hooks_of_links_see_each_of_them():
    conv, link, x, _ = make("1x1", "frozen", np.float32)
    with TimerHook() as hook:
        IndexedSequential(conv, link, F.relu)(x)
    assert set(hook.summary()) == {"Convolution2D", "FrozenBatchNormalization", "IndexedSequential"}


@pytest.mark.usefixtures("inference")
def test_what_is_picked_is_not_normalized_or_rectified():
    conv, link, x, _ = make("Winograd", "frozen", np.float32)
    layers = IndexedSequential(conv, link, F.relu)
    expected = [conv(x).array, link(conv(x)).array, F.relu(link(conv(x))).array]
    for pick in (("0", "2"), ("1", "2"), ("0", "1", "2"), ("2",)):
        layers.pick = pick
        for name, y in zip(pick, layers(x), strict=True):
            np.testing.assert_allclose(y.array, expected[int(name)], rtol=0, atol=1e-5)


@pytest.mark.usefixtures("inference")
def test_a_bottleneck_is_four_convolutions(monkeypatch):
    block = Bottleneck(8, 8, stride=2, norm=FrozenBatchNormalization)
    for link in block.links():
        if isinstance(link, FrozenBatchNormalization):
            fill(link)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 8, 12, 14)).astype(np.float32)
    with monkeypatch.context() as patch:
        for name in ("normalize", "add_relu"):  # which are no steps of their own
            patch.setattr(f"chainfpn.links.layers.{name}", pytest.fail)
        y = block(x)
    with Steps() as steps:
        expected = block(x)
    assert len(steps.labels) == 8
    np.testing.assert_allclose(y.array, expected.array, rtol=0, atol=1e-5 * np.abs(expected.array).max())


@pytest.mark.usefixtures("inference")
def test_what_does_not_fit_is_told_by_the_step_it_does_not_fit():
    conv, link, x, residual = make("1x1", "frozen", np.float32)
    others = [(x, link, residual[:, :, 1:]), (x, link, residual.astype(np.float64))]
    for arguments in [(x[:, :5], link), (x[:, :, 0], link), (x, FrozenBatchNormalization(5)), *others]:
        with pytest.raises(type_check.InvalidType):
            convolve(conv, *arguments)


@pytest.mark.usefixtures("inference")
def test_threads_that_share_the_work_compile_nothing_inside_of_plain_numpy(monkeypatch):
    monkeypatch.setattr("chainfpn.functions.kernels.threads.N_THREADS", 3)
    monkeypatch.setattr("chainfpn.functions.kernels.numba_normalize.normalize_in_place", None)  # cannot be called
    conv, link, x, _ = make("1x1", "frozen", np.float32)
    with plain_numpy():
        convolve(conv, np.tile(x, (8, 1, 1, 1)), link, relu=True)
