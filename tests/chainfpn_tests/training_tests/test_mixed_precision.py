"""Chainer's search for the scale of the loss, asked once."""

import chainer
import chainer.links as L
import numpy as np
import pytest

from chainfpn.training import use_mixed_precision


@pytest.fixture
def optimizer():
    optimizer = chainer.optimizers.SGD()
    use_mixed_precision(optimizer)
    with chainer.using_config("dtype", np.float16):
        optimizer.setup(chainer.ChainList(L.Linear(2, 1), L.Bias(shape=(2,))))
    for param in optimizer.target.params():
        param.grad = np.ones_like(param.array)
    return optimizer


def test_the_scale_grows_while_gradients_are_finite(optimizer):
    before = optimizer.target[1].b.array.copy()
    optimizer.update()
    assert optimizer._loss_scale == 2
    assert (optimizer.target[1].b.array < before).all()
    assert {param.update_rule._use_fp32_update for param in optimizer.target.params()} == {True}


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_an_overflow_costs_an_update_and_is_named(optimizer, value):
    optimizer._loss_scale = 1024.0
    optimizer.target[0].W.grad[0, 0] = value
    before = optimizer.target[1].b.array.copy()
    with pytest.warns(UserWarning, match="Non finite number found in param.grad of /0/W"):
        optimizer.update()
    assert optimizer._loss_scale == 512
    np.testing.assert_array_equal(optimizer.target[1].b.array, before)


def test_a_large_gradient_is_finite(optimizer):
    """Though the sum of squares is not."""
    optimizer.target[1].b.grad = None
    optimizer.target[1].b = chainer.Parameter(np.zeros(2, np.float32))
    optimizer.setup(optimizer.target)
    for param in optimizer.target.params():
        param.grad = np.ones_like(param.array)
    optimizer.target[1].b.grad[0] = 3e38
    optimizer.update()
    assert optimizer._loss_scale == 2
