"""Hard sigmoid and swish, and the weights of channels: one kernel without a gradient, with the bits of the steps."""

import chainer
import numpy as np
import pytest

from chainfpn.functions.kernels import numba_channels, plain_numpy
from chainfpn.links.backbones.mobilenet_v3 import hard_sigmoid, hard_swish
from chainfpn.links.blocks import SqueezeExcitation


@pytest.mark.gpu
@pytest.mark.parametrize("activation", [hard_sigmoid, hard_swish])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gradient", [False, True])
def test_hard_activations_have_the_cpus_bits(activation, dtype, gradient):
    cupy = pytest.importorskip("cupy")
    x = np.append(np.random.default_rng(0).uniform(-5, 5, 40), [-3, 3, -0.0, np.nan]).astype(dtype)
    expected = activation(x).array
    v = chainer.Variable(cupy.asarray(x))
    with chainer.using_config("enable_backprop", gradient):
        y = activation(v)
    assert y.dtype == dtype
    np.testing.assert_array_equal(cupy.asnumpy(y.array), expected)
    assert (y.creator is not None) == gradient


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("activation", [hard_sigmoid, hard_swish])
def test_one_compiled_pass_has_the_bits_of_the_steps(activation, dtype, monkeypatch):
    monkeypatch.setattr(numba_channels, "SHARE", 8)
    x = np.append(np.random.default_rng(0).uniform(-5, 5, 39), [-3, 3, -0.0, np.nan, np.inf]).astype(dtype)
    x = x.reshape(1, 2, 11, 2).swapaxes(2, 3)
    with chainer.no_backprop_mode():
        y = activation(x)
        with plain_numpy():
            expected = activation(x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.array, expected.array)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_channels_weighed_in_one_compiled_pass(dtype, monkeypatch):
    monkeypatch.setattr(numba_channels, "SHARE", 8)
    with chainer.using_config("dtype", dtype):
        link = SqueezeExcitation(4, 2)
    x = np.random.default_rng(0).uniform(-1, 1, (3, 4, 5, 2)).astype(dtype)
    for given in (x, x.swapaxes(2, 3), x[:0]):
        with chainer.no_backprop_mode():
            y = link(given)
            with plain_numpy():
                expected = link(given)
        assert y.dtype == dtype
        tolerance = {np.float16: 2e-3, np.float32: 1e-6, np.float64: 1e-14}[dtype]
        np.testing.assert_allclose(y.array, expected.array, rtol=0, atol=tolerance)
