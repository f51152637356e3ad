"""Layer normalization over the channels of every pixel, and a linear layer over them: against plain NumPy."""

import chainer
import numpy as np
import pytest
from chainer import gradient_check

from chainfpn.links import LayerNormalization, layer_normalization
from chainfpn.links.pointwise import Pointwise

RNG = np.random.default_rng(0)
SHAPES = [(2, 5, 3, 4), (1, 7, 20, 31), (3, 4), (2, 6, 0, 3)]


def build(size, dtype):
    """Build the link with a scale and a shift."""
    with chainer.using_config("dtype", np.dtype(dtype)):
        link = LayerNormalization(size, eps=1e-3)
    link.gamma.array[...], link.beta.array[...] = RNG.normal(size=(2, size))
    return link


def expected(link, x):
    """Compute it in double precision."""
    x, over = x.astype("d"), (-1, *[1] * (x.ndim - 2))
    gamma, beta = (param.array.astype("d").reshape(over) for param in (link.gamma, link.beta))
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3) * gamma + beta


@pytest.mark.parametrize("way", ["one pass", "without Numba", "with gradients"])
@pytest.mark.parametrize(("dtype", "error"), [("d", 1e-13), ("f", 1e-5), ("e", 2e-2)])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_way_is_the_formula(shape, dtype, error, way, monkeypatch):
    if way == "without Numba":
        monkeypatch.setattr(layer_normalization, "import_for_inference", lambda name, *arrays: None)
    link, x = build(shape[1], dtype), RNG.normal(1, 2, shape).astype(dtype)
    with chainer.using_config("enable_backprop", way == "with gradients"):
        y = link(x)
    assert (y.shape, y.dtype) == (shape, np.dtype(dtype))
    np.testing.assert_allclose(y.array, expected(link, x), atol=error, rtol=error)


def test_an_array_that_is_not_contiguous():
    link, x = build(5, "d"), RNG.normal(size=(2, 3, 4, 5)).transpose(0, 3, 1, 2)
    with chainer.no_backprop_mode():
        np.testing.assert_allclose(link(x).array, expected(link, x), atol=1e-13)


def test_gradients():
    link, x = build(5, "d"), RNG.normal(size=(2, 5, 3, 2))
    params = link.gamma, link.beta
    gradient_check.check_backward(link, x, RNG.normal(size=x.shape), params, dtype="d", atol=1e-4)


def test_a_linear_layer_over_channels_is_one_of_every_pixel():
    x = RNG.normal(size=(2, 3, 4, 5))
    with chainer.using_config("dtype", np.dtype("d")):
        for nobias in (False, True):
            link = Pointwise(3, 6, nobias=nobias)
            y = np.einsum("oc,bchw->bohw", link.W.array, x)
            np.testing.assert_allclose(link(x).array, y, atol=1e-12)
    gradient_check.check_backward(link, x, RNG.normal(size=y.shape), (link.W,), dtype="d", atol=1e-4)
