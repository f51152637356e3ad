"""Gradients are shrunk together, whoever has one."""

import chainer
import chainer.links as L
import numpy as np
import pytest

from chainfpn.training import GradientClipping


@pytest.fixture
def optimizer():
    """Of two links, of which one parameter has no gradient."""
    optimizer = chainer.optimizers.SGD().setup(chainer.ChainList(L.Linear(2, 1), L.Bias(shape=(2,))))
    optimizer.target[0].W.grad = np.array([[3.0, 0.0]], dtype="f")
    optimizer.target[0].b.grad = None
    optimizer.target[1].b.grad = np.array([0.0, 4.0], dtype="f")
    return optimizer


def test_the_norm_of_all_is_the_limit(optimizer):
    GradientClipping(2.5)(optimizer)
    np.testing.assert_allclose(optimizer.target[0].W.grad, [[1.5, 0]])
    np.testing.assert_allclose(optimizer.target[1].b.grad, [0, 2])
    assert optimizer.target[0].b.grad is None


def test_short_gradients_stay_as_they_are(optimizer):
    GradientClipping(5.5)(optimizer)
    np.testing.assert_array_equal(optimizer.target[0].W.grad, [[3, 0]])


def test_the_scale_of_the_loss_does_not_count(optimizer):
    optimizer._loss_scale = 2
    GradientClipping(2.5)(optimizer)
    np.testing.assert_array_equal(optimizer.target[0].W.grad, [[3, 0]])
    GradientClipping(1.25)(optimizer)
    np.testing.assert_allclose(optimizer.target[0].W.grad, [[1.5, 0]])


@pytest.mark.gpu
def test_squares_of_halves_are_summed_in_float32_on_a_gpu():
    """Each is beyond float16."""
    with chainer.using_config("dtype", np.float16):
        link = L.Bias(shape=(40000,))
    link.to_device("@cupy:0")
    optimizer = chainer.optimizers.SGD().setup(link)
    link.b.grad = link.xp.full(40000, 300, np.float16)
    GradientClipping(30_000)(optimizer)  # of a norm of 60,000
    np.testing.assert_array_equal(chainer.backends.cuda.to_cpu(link.b.grad), 150)


def _arrays(optimizer):
    return [param.array.copy() for param in optimizer.target.params()]


@pytest.mark.parametrize("value", [np.inf, np.nan, 3e38])  # the square of the last is infinite
@pytest.mark.parametrize("scale", [None, 128])
def test_a_norm_that_is_not_finite_stops_the_training(optimizer, value, scale):
    """Before any weight is changed."""
    if scale is not None:
        optimizer.loss_scaling(scale=scale)
    optimizer.target[0].W.grad[0, 0] = value
    optimizer.add_hook(GradientClipping(1))
    before = _arrays(optimizer)
    with pytest.raises(FloatingPointError, match=r"^GradientClipping: the norm of the .* finite, got (inf|nan); the "):
        optimizer.update()
    for array, now in zip(before, _arrays(optimizer), strict=True):
        np.testing.assert_array_equal(array, now)


@pytest.mark.filterwarnings("ignore:Non finite number found in param.grad")
def test_a_scale_of_the_loss_that_was_too_large_only_costs_an_update(optimizer):
    optimizer.loss_scaling()
    optimizer._loss_scale = 1024.0
    optimizer.target[0].W.grad[0, 0] = np.inf
    optimizer.add_hook(GradientClipping(1))
    before = _arrays(optimizer)
    optimizer.update()
    for array, now in zip(before, _arrays(optimizer), strict=True):
        np.testing.assert_array_equal(array, now)
    np.testing.assert_array_equal(optimizer.target[1].b.grad, [0, 4])
    assert optimizer._loss_scale == 512
    optimizer.target[0].W.grad[0, 0] = 3e38  # every gradient is finite, so that Chainer would update
    with pytest.raises(FloatingPointError, match="got inf"):
        optimizer.update()


@pytest.mark.parametrize("max_norm", [0, -1, float("nan")])
def test_the_limit_is_checked(max_norm):
    with pytest.raises(ValueError, match=r"GradientClipping: max_norm must be > 0, got"):
        GradientClipping(max_norm)
