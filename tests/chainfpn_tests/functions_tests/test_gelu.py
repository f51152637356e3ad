"""GELU and the distribution function behind it: exact values, gradients, with and without Numba."""

import math

import numpy as np
import pytest
from chainer import gradient_check

from chainfpn.functions._gelu import NormalCDF, gelu
from chainfpn.functions.kernels import normal_cdf

X = np.concatenate([np.linspace(-9, 9, 3001), [0.0, 1e-30, -1e-30]])
EXACT = np.array([0.5 + 0.5 * math.erf(x * math.sqrt(0.5)) for x in X])


@pytest.fixture(params=["compiled", "plain"])
def way(request, monkeypatch):
    """With Numba, and as if it were not there."""
    if request.param == "plain":
        monkeypatch.setattr(normal_cdf, "import_compiled", lambda name: None)


@pytest.mark.parametrize(("dtype", "error"), [("d", 1e-15), ("f", 3e-7), ("e", 1e-3)])
def test_values_are_those_of_the_error_function(way, dtype, error):
    y = normal_cdf.normal_cdf(X.astype(dtype))
    assert y.dtype == np.dtype(dtype)
    assert np.abs(y - EXACT).max() <= error
    np.testing.assert_allclose(gelu(X.astype(dtype)).array, X * EXACT, atol=9 * error)


def test_nothing_gives_nothing(way):
    for dtype in "dfe":
        assert gelu(np.zeros((0, 3), dtype)).shape == (0, 3)


def test_what_is_no_number_stays_so(way):
    for dtype in "df":
        assert np.isnan(normal_cdf.normal_cdf(np.array([np.nan], dtype))).all()
        np.testing.assert_allclose(normal_cdf.normal_cdf(np.array([-np.inf, np.inf], dtype)), [0, 1], atol=3e-7)


def test_gradients_of_any_order():
    x, gy, ggx = np.random.default_rng(0).normal(size=(3, 4, 5))
    gradient_check.check_backward(gelu, x, gy, dtype="d")
    gradient_check.check_double_backward(gelu, x, gy, ggx, dtype="d")
    gradient_check.check_backward(lambda x: NormalCDF().apply((x,)), x, gy, dtype="d")
