"""Stochastic depth: whole images are left out or scaled up, in training only."""

import chainer
import numpy as np
import pytest

from chainfpn.links.blocks import depth_probabilities, stochastic_depth

X = np.arange(1, 1 + 2000 * 6, dtype=np.float32).reshape(2000, 2, 3)


def test_outside_of_training_nothing_happens():
    with chainer.using_config("train", False):
        assert stochastic_depth(X, 0.5) is X
    with chainer.using_config("train", True):
        assert stochastic_depth(X, 0.0) is X


@pytest.mark.parametrize("p", [0.25, 0.8])
def test_an_image_is_left_out_or_scaled_up(p):
    np.random.seed(0)
    x = chainer.Variable(X)
    with chainer.using_config("train", True):
        y = stochastic_depth(x, p)
    assert y.dtype == np.float32
    left_out = (y.array == 0).all(axis=(1, 2))
    np.testing.assert_allclose(y.array[~left_out], X[~left_out] / (1 - p), rtol=1e-6)
    assert left_out.mean() == pytest.approx(p, abs=0.05)
    y.grad = np.ones_like(X)
    y.backward()
    np.testing.assert_allclose(x.grad[:, 0, 0], np.where(left_out, 0, 1 / (1 - p)), rtol=1e-6)


def test_all_are_left_out_if_that_is_certain():
    with chainer.using_config("train", True):
        assert not stochastic_depth(chainer.Variable(X), 1.0).array.any()


def test_probabilities_grow_by_equal_steps():
    assert depth_probabilities(0.2, 5) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert depth_probabilities(0.2, 4, reached=False) == pytest.approx([0, 0.05, 0.1, 0.15])
