"""The hard sigmoid and swish on a GPU: one kernel with the CPU's bits, and Chainer's steps for a gradient."""

import chainer
import numpy as np
import pytest

from chainfpn.links.backbones.mobilenet_v3 import hard_sigmoid, hard_swish


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
