"""Normalization, sum and ReLU in one pass on a CPU: the bits of the single steps, with and without Numba."""

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check

from chainfpn.functions import _fixed_normalization
from chainfpn.functions._fixed_normalization import Statistics, fixed_normalization
from chainfpn.links import BatchNormalization, FrozenBatchNormalization
from reference.normalizations import fill, maps

SHAPES = ((2, 6, 5, 7), (3, 4), (0, 4, 2, 2), (1, 3, 400, 300))


@pytest.fixture(params=[True, False], ids=["numba", "numpy"])
def compiled(request, monkeypatch):
    """Run with the compiled kernel, and without."""
    if request.param:
        pytest.importorskip("numba")
    else:
        monkeypatch.setattr(_fixed_normalization, "import_compiled", lambda name: None)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("adds", [False, True])
def test_frozen_normalization_has_the_bits_of_its_steps(compiled, shape, dtype, relu, adds):
    with chainer.using_config("dtype", dtype):
        norm = fill(FrozenBatchNormalization(shape[1]))
    x, *residual = maps(shape, dtype, 1 + adds)
    over = (slice(None),) + (None,) * (len(shape) - 2)
    scale = norm.gamma / np.sqrt(norm.avg_var + norm.avg_var.dtype.type(norm.eps))
    expected = x * scale[over] + (norm.beta - norm.avg_mean * scale)[over]
    expected = expected + residual[0] if adds else expected
    expected = np.maximum(expected, 0) if relu else expected
    y = norm(x, *residual, relu=relu).array
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 4e-3), (np.float32, 1e-6), (np.float64, 1e-14)])
def test_fixed_batch_normalization_is_chainers(compiled, dtype, tolerance):
    with chainer.using_config("dtype", dtype):
        norm = fill(BatchNormalization(6))
    x, residual = maps(SHAPES[0], dtype, 2)
    with chainer.using_config("train", False):
        expected = F.relu(norm(x) + residual).array
        with chainer.no_backprop_mode():
            y = norm(x, residual, relu=True).array
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("adds", [False, True])
def test_gradients(compiled, relu, adds):
    arrays = [np.random.default_rng(2).uniform(0.5, 1.5, 6) for _ in range(4)]
    statistics = Statistics(*arrays, eps=1e-5, centered=False)
    inputs = tuple(maps((2, 6, 3, 2), np.float64, 1 + adds))
    gy, *ggs = maps((2, 6, 3, 2), np.float64, 2 + adds)

    def f(*inputs):
        return fixed_normalization(inputs[0], statistics, *inputs[1:], relu=relu)

    options = {"atol": 1e-6, "rtol": 1e-6, "dtype": np.float64}
    gradient_check.check_backward(f, inputs, gy, **options)
    gradient_check.check_double_backward(f, inputs, gy, tuple(ggs), **options)


def test_not_a_number_stays_one(compiled):
    x = np.full((1, 6, 2, 2), np.nan, np.float32)
    assert np.isnan(fill(FrozenBatchNormalization(6))(x, relu=True).array).all()


def test_other_shapes_are_refused(compiled):
    norm = FrozenBatchNormalization(6)
    with pytest.raises(chainer.utils.type_check.InvalidType):
        norm(np.zeros((1, 5, 2, 2), np.float32))
    with pytest.raises(chainer.utils.type_check.InvalidType):
        norm(np.zeros((1, 6, 2, 2), np.float32), np.zeros((1, 6, 2, 1), np.float32))
