"""Normalization, sum and ReLU as one kernel: the CPU's bits, its gradients, and statistics that may change."""

import copy

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check, serializers

from chainfpn.functions._fixed_normalization import Statistics, fixed_normalization
from chainfpn.links import (
    BatchNormalization,
    Convolution2D,
    FrozenBatchNormalization,
    GroupNormalization,
    IndexedSequential,
)
from chainfpn.links.backbones.resnet import Bottleneck
from chainfpn.links.layers import convolve, normalize
from reference import fake_cupy
from reference.arrays import saved
from reference.devices import launched_with
from reference.normalizations import fill, maps

pytestmark = pytest.mark.gpu

#: Pixels one by one, more than a warp reads at once; a single one; none; in fours, more than a stretch; in pairs.
SHAPES = ((2, 6, 11, 13), (3, 4), (0, 4, 2, 2), (2, 3, 12, 25), (2, 3, 3, 50))


@pytest.fixture
def cupy():
    return pytest.importorskip("cupy")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("adds", [False, True])
def test_frozen_normalization_has_the_cpus_bits(cupy, shape, dtype, relu, adds):
    with chainer.using_config("dtype", dtype):
        norm = fill(FrozenBatchNormalization(shape[1]))
    inputs = maps(shape, dtype, 1 + adds)
    inputs[0].ravel()[:1] = np.nan
    expected = norm(*inputs, relu=relu).array
    norm.to_device("@cupy:0")
    y = norm(*map(cupy.asarray, inputs), relu=relu).array
    assert y.dtype == dtype
    np.testing.assert_array_equal(cupy.asnumpy(y), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
def test_pixels_read_together_are_those_read_one_by_one(cupy, dtype, relu):
    """Planes of 4 n pixels, of 2 n, and the same with an address or a number of pixels that leaves them one by one."""
    norm = fill(FrozenBatchNormalization(3))
    norm.to_device("@cupy:0")
    arrays = maps((2, 3, 300), dtype, 3)

    def run(make):
        x, residual, gy = map(make, arrays)
        x, residual = chainer.Variable(x), chainer.Variable(residual)
        y = norm(x, residual, relu=relu)
        y.grad = gy
        y.backward()
        return [cupy.asnumpy(a) for a in (y.array, x.grad, residual.grad)]

    def behind_one_more(a):
        flat = cupy.empty(a.size + 1, dtype)
        flat[1:] = cupy.asarray(a.ravel())
        return flat[1:].reshape(a.shape)

    together = run(cupy.asarray)
    for make, n_pixels in (
        (behind_one_more, 300),
        (lambda a: cupy.asarray(a[..., :298]), 298),
        (lambda a: cupy.asarray(a[..., :299]), 299),
    ):
        for a, b in zip(run(make), together, strict=True):
            np.testing.assert_array_equal(a, b[..., :n_pixels])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 2e-3), (np.float32, 2e-6), (np.float64, 1e-14)])
def test_fixed_batch_normalization_equals_the_cpus(cupy, dtype, tolerance):
    norm = fill(BatchNormalization(6))
    x, residual = maps(SHAPES[0], dtype)
    if dtype == np.float64:
        with chainer.using_config("dtype", dtype):
            norm = fill(BatchNormalization(6))
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        expected = norm(x, residual, relu=True).array
        norm.to_device("@cupy:0")
        y = norm(cupy.asarray(x), cupy.asarray(residual), relu=True).array
    assert y.dtype == dtype
    np.testing.assert_allclose(cupy.asnumpy(y), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 4e-3), (np.float32, 2e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("relu", [False, True])
def test_group_normalization_equals_the_cpus(cupy, dtype, tolerance, relu):
    with chainer.using_config("dtype", chainer.mixed16 if dtype == np.float16 else dtype):
        norm = GroupNormalization(6, groups=3)
    for param in norm.params():
        param.array[...] = np.random.default_rng(1).uniform(-1, 1, param.shape)
    (x,) = maps((4, 6, 5, 7), dtype, 1)
    with chainer.no_backprop_mode():
        expected = norm(x, relu=relu).array
        norm.to_device("@cupy:0")
        y = norm(cupy.asarray(x), relu=relu).array
    assert y.dtype == dtype
    np.testing.assert_allclose(cupy.asnumpy(y), expected, rtol=0, atol=tolerance)


def test_a_sequence_of_layers_rectifies_in_the_same_kernel(cupy):
    layers = IndexedSequential(fill(BatchNormalization(6)), F.relu, fill(FrozenBatchNormalization(6)), F.relu)
    x = maps(SHAPES[0], np.float32, 1)[0]
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        expected = layers(x).array
        layers.to_device("@cupy:0")
        y = layers(cupy.asarray(x)).array
        layers.pick = ("2", "3")
        picked, last = layers(cupy.asarray(x))
    np.testing.assert_allclose(cupy.asnumpy(y), expected, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(cupy.asnumpy(last.array), cupy.asnumpy(y))
    assert (cupy.asnumpy(picked.array) < 0).any()


def test_fewer_blocks_than_stretches_take_several_each(cupy, monkeypatch):
    norm, (x, residual, gy) = fill(FrozenBatchNormalization(6)), maps(SHAPES[0], np.float32, 3)
    results, kernels = [], launched_with(monkeypatch, MAX_BLOCKS=1, INT_LIMIT=0)
    for device in ("@numpy", "@cupy:0"):
        norm.to_device(device)
        leaf = chainer.Variable(norm.xp.asarray(x))
        y = norm(leaf, norm.xp.asarray(residual), relu=True)
        y.grad = norm.xp.asarray(gy)
        y.backward()
        results.append([chainer.backends.cuda.to_cpu(a) for a in (y.array, leaf.grad)])
    assert [name.partition(",")[0] for name in kernels] == ["normalize<float", "normalize_backward<float"]
    assert all("long long" in name for name in kernels)
    np.testing.assert_array_equal(*[y for y, _ in results])
    np.testing.assert_allclose(*[gx for _, gx in results], rtol=0, atol=1e-6)


#: Ways to give a layer other statistics than it was used with.
CHANGES = {
    "in place": lambda norm, other: norm.avg_mean.fill(3),
    "new arrays": lambda norm, other: vars(norm).update(avg_var=norm.xp.full_like(norm.avg_var, 2)),
    "of another layer": lambda norm, other: norm.copyparams(other),
    "there and back": lambda norm, other: _change_on_the_host(norm),
    "from a file": lambda norm, other: serializers.NpzDeserializer(saved(other)).load(norm),
}


def _change_on_the_host(norm):
    norm.to_device("@numpy")
    norm.gamma[...] = 5
    norm.to_device("@cupy:0")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["alone", "behind a convolution", "behind one of a step"])
def test_other_statistics_count_at_once_and_nothing_is_launched_for_them(cupy, change, kind):
    """As nothing is kept of those before; normalization, sum and ReLU are one kernel."""
    norm, other = fill(FrozenBatchNormalization(6)), FrozenBatchNormalization(6)
    conv, x = Convolution2D(6, 6, 1, nobias=True), maps(SHAPES[0], np.float32, 1)[0]
    conv.W.array[...] = np.eye(6)[:, :, None, None]
    for link in (norm, other, conv):
        link.to_device("@cupy:0")
    x = cupy.asarray(x)

    def run():
        with fake_cupy.count() as counts, chainer.using_config("enable_backprop", kind.endswith("step")):
            y = norm(x, x, relu=True) if kind == "alone" else convolve(conv, x, norm, x, relu=True)
        return cupy.asnumpy(y.array), counts.launches

    def expected():
        here = copy.deepcopy(norm)
        here.to_device("@numpy")
        return here(cupy.asnumpy(x), cupy.asnumpy(x), relu=True).array

    before, n_before = run()
    np.testing.assert_allclose(before, expected(), rtol=0, atol=1e-6)
    CHANGES[change](norm, other)
    after, n_after = run()
    np.testing.assert_allclose(after, expected(), rtol=0, atol=1e-6)
    assert abs(after - before).max() > 0.1
    if fake_cupy.is_installed():
        assert n_before == n_after == (1 if kind == "alone" else 2)  # the product of a convolution, and one kernel


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("adds", [False, True])
def test_gradients(cupy, relu, adds):
    arrays = [cupy.asarray(np.random.default_rng(2).uniform(0.5, 1.5, 6)) for _ in range(4)]
    statistics = Statistics(*arrays, eps=1e-5, centered=False)
    inputs = tuple(map(cupy.asarray, maps((2, 6, 3, 2), np.float64, 1 + adds)))
    gy, *ggs = map(cupy.asarray, maps((2, 6, 3, 2), np.float64, 2 + adds))

    def f(*inputs):
        return fixed_normalization(inputs[0], statistics, *inputs[1:], relu=relu)

    options = {"atol": 1e-6, "rtol": 1e-6, "dtype": np.float64}
    gradient_check.check_backward(f, inputs, gy, **options)
    gradient_check.check_double_backward(f, inputs, gy, tuple(ggs), **options)


@pytest.mark.parametrize("norm", [FrozenBatchNormalization, BatchNormalization, GroupNormalization])
@pytest.mark.parametrize("train", [False, True])
def test_a_block_and_its_gradient_equal_the_cpus(cupy, norm, train):
    block = Bottleneck(32, 32, norm=norm)
    for link in block.links():
        if hasattr(link, "avg_var"):
            fill(link)
    results = []
    for device in ("@numpy", "@cupy:0"):
        block.to_device(device)
        block.cleargrads()
        x = chainer.Variable(block.xp.asarray(maps((1, 32, 5, 6), np.float32, 1)[0]))
        with chainer.using_config("train", train):
            y = block(x)
            F.sum(y * y).backward()
        gradients = {name: param.grad for name, param in block.namedparams()}
        results.append({"y": y.array, "x": x.grad, **gradients})
    expected, found = results
    for name, array in expected.items():
        scale = max(np.abs(array).max(), 1)
        np.testing.assert_allclose(cupy.asnumpy(found[name]) / scale, array / scale, atol=1e-4, rtol=0, err_msg=name)


def test_any_normalization_is_summed_and_rectified(cupy):
    x, residual = map(cupy.asarray, maps(SHAPES[0], np.float32))
    y = normalize(lambda x: -x, x, residual, relu=True).array
    np.testing.assert_array_equal(cupy.asnumpy(y), cupy.asnumpy(F.relu(residual - x).array))
