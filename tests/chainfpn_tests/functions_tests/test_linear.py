"""Fully connected layers by our threads: what Chainer's give, gradients, and the same bits on any number of threads."""

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer import gradient_check

from chainfpn import links
from chainfpn.functions._linear_map import LinearFunction, linear
from chainfpn.functions.kernels import product, threads


def arrays(dtype, n=5, n_in=7, n_out=3):
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, shape).astype(dtype) for shape in ((n, n_in), (n_out, n_in), (n_out,))]


@pytest.mark.parametrize("n_out", [3, 40])  # shares of rows, and of columns
@pytest.mark.parametrize("dtype", "efd")
def test_equals_chainers(dtype, n_out, monkeypatch):
    monkeypatch.setattr(product, "SHARE", 16)
    results = []
    for function in (linear, F.linear):
        inputs = [chainer.Parameter(a) for a in arrays(dtype, n_out=n_out)]
        y = function(*inputs)
        F.sum(y * y).backward()
        results.append([y.array, *(a.grad for a in inputs)])
    for ours, chainers in zip(*results, strict=True):
        assert ours.dtype == chainers.dtype
        np.testing.assert_allclose(ours, chainers, rtol={"e": 1e-2, "f": 1e-5, "d": 1e-12}[dtype], atol=1e-6)


@pytest.mark.parametrize("n_inputs", [2, 3])
def test_numerical_gradients(n_inputs):
    inputs = arrays("d")[:n_inputs]
    gradient_check.check_backward(linear, inputs, np.ones((5, 3)), dtype="d")
    gradient_check.check_double_backward(linear, inputs, np.ones((5, 3)), [np.ones_like(a) for a in inputs], dtype="d")


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr(product, "SHARE", 1000)
    a, b, _ = arrays("f", 33, 90, 57)
    found = []
    for n_threads in (1, 3):
        monkeypatch.setattr(threads, "N_THREADS", n_threads)
        found.append(product.product(a, b.T))
    np.testing.assert_array_equal(*found)


def test_the_link_flattens_and_is_chainers_otherwise():
    x = np.random.default_rng(0).random((4, 2, 3), np.float32)
    link = links.Linear(None, 5)
    assert link(x).shape == (4, 5)  # the first call makes the weights
    y = link(x)
    assert isinstance(y.creator, LinearFunction)
    np.testing.assert_allclose(y.array, F.linear(x, link.W, link.b).array, rtol=1e-5)
    assert link(x[:0]).shape == (0, 5)
    assert links.Linear(3, 5)(x, n_batch_axes=2).shape == (4, 2, 5)
