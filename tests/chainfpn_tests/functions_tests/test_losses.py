"""Losses by hand, and their gradients by differences."""

import chainer
import numpy as np
import pytest
from chainer import gradient_check

from chainfpn.functions import _focal_loss as focal_module
from chainfpn.functions import (
    binary_cross_entropy,
    cross_entropy,
    gather,
    gather_class,
    giou_loss,
    sigmoid_focal_loss,
    smooth_l1_loss,
)

RANDOM = np.random.default_rng(0)
RANDOM_LEVELS = RANDOM.uniform(-3, 3, (2, 4, 4))


def _boxes(n):
    corner = RANDOM.uniform(0, 10, (n, 2))
    return np.concatenate((corner, corner + RANDOM.uniform(1, 12, (n, 2))), axis=1)


#: Each loss of an array, and an array of it.
LOSSES = {
    "smooth L1": (lambda x, **o: smooth_l1_loss(x, np.linspace(-1, 1, 12).reshape(3, 4), beta=0.3, **o), (3, 4)),
    "L1": (lambda x, **o: smooth_l1_loss(x, np.linspace(-1, 1, 12).reshape(3, 4), beta=0, **o), (3, 4)),
    "binary cross entropy": (lambda x, **o: binary_cross_entropy(x, np.linspace(0, 1, 12).reshape(3, 4), **o), (3, 4)),
    "cross entropy": (lambda x, **o: cross_entropy(x, np.array([0, 3, 1]), **o), (3, 4)),
    "focal": (lambda x, **o: sigmoid_focal_loss(x, np.array([1, -1, 3]), np.array([1, 0.5, 2]), **o), (3, 4)),
    "focal of another gamma": (
        lambda x, **o: sigmoid_focal_loss(x, np.array([1, -1, 3]), alpha=0.4, gamma=1.5, **o),
        (3, 4),
    ),
}


@pytest.mark.parametrize(("loss", "shape"), LOSSES.values(), ids=LOSSES)
def test_gradients_are_differences(loss, shape):
    x = RANDOM.uniform(-3, 3, shape)
    gradient_check.check_backward(loss, x, np.array(0.7), dtype=np.float64, atol=1e-6, rtol=1e-6)


def test_gradient_of_giou_is_differences():
    x, t = _boxes(30), _boxes(30)
    gradient_check.check_backward(lambda x: giou_loss(x, t), x, np.array(0.7), dtype=np.float64, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("loss", "shape"), LOSSES.values(), ids=LOSSES)
def test_half_precision_is_computed_in_single(loss, shape):
    x = chainer.Variable(RANDOM.uniform(-3, 3, shape).astype(np.float16))
    y = loss(x)
    y.backward()
    assert (y.dtype, x.grad.dtype) == (np.float32, np.float16)
    assert float(y.array) == pytest.approx(float(loss(x.array.astype(np.float64)).array), rel=1e-5)


@pytest.mark.parametrize(("loss", "shape"), LOSSES.values(), ids=LOSSES)
def test_a_second_derivative_is_refused(loss, shape):
    x = chainer.Variable(RANDOM.uniform(-3, 3, shape))
    (gx,) = chainer.grad([loss(x)], [x], enable_double_backprop=True)
    with pytest.raises(NotImplementedError, match="there is no second derivative"):
        chainer.functions.sum(gx**2).backward()


def test_smooth_l1_by_hand():
    x, t = np.array([0.0, 0.1, -2.0, 3.0]), np.array([0.0, 0.0, 0.0, 1.0])
    assert float(smooth_l1_loss(x, t, beta=0.2).array) == pytest.approx(0.1**2 / 0.4 + 1.9 + 1.9)
    assert float(smooth_l1_loss(x, t, beta=0).array) == pytest.approx(4.1)


def test_focal_by_hand():
    """Of p = 1/2 for the right class and p = 3/4 for the wrong one."""
    x = np.array([[0.0, np.log(3)]])
    yes, no = 0.25 * 0.5**2 * np.log(2), 0.75 * 0.75**2 * np.log(4)
    assert float(sigmoid_focal_loss(x, np.array([0])).array) == pytest.approx(yes + no)
    assert float(sigmoid_focal_loss(x, np.array([0]), np.array([3.0])).array) == pytest.approx(3 * (yes + no))
    assert float(sigmoid_focal_loss(x, np.array([0]), np.array([0.0])).array) == 0


def test_focal_in_blocks_is_focal_at_once(monkeypatch):
    x, label = RANDOM.normal(size=(50, 4)), RANDOM.integers(-1, 4, 50)
    whole = float(sigmoid_focal_loss(x, label).array)
    monkeypatch.setattr(focal_module, "BLOCK", 12, raising=False)
    assert float(sigmoid_focal_loss(x, label).array) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("value", [-200, 200])
def test_large_logits_do_not_overflow(value):
    x = chainer.Variable(np.full((1, 2), value, np.float32))
    for loss in (sigmoid_focal_loss(x, np.array([0])), binary_cross_entropy(x, np.array([[0, 1]], np.float32))):
        x.cleargrad()
        loss.backward()
        assert np.isfinite(loss.array)
        assert np.isfinite(x.grad).all()


def test_giou_by_hand():
    """The same box; half of it; one beside it with a gap as wide; and one that only touches."""
    t = np.tile([[0.0, 0.0, 2.0, 2.0]], (4, 1))
    x = np.array([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 2.0], [0.0, 4.0, 2.0, 6.0], [2.0, 0.0, 4.0, 2.0]])
    assert [round(float(giou_loss(x[i : i + 1], t[i : i + 1]).array), 5) for i in range(4)] == [0, 0.5, 1.33333, 1]


def test_no_rows_have_no_loss_and_a_gradient():
    for loss in (
        lambda x: cross_entropy(x, np.empty(0, int)),
        lambda x: giou_loss(x, np.empty((0, 4), np.float32)),
        lambda x: sigmoid_focal_loss(x, np.empty(0, int)),
        lambda x: smooth_l1_loss(x, np.empty((0, 4), np.float32)),
    ):
        x = chainer.Variable(np.empty((0, 4), np.float32))
        y = loss(x)
        y.backward()
        assert (float(y.array), x.grad.shape) == (0.0, (0, 4))


def test_rows_are_those_of_the_levels_put_together():
    xs = [RANDOM.normal(size=(2, n, 3)) for n in (5, 1, 4)]
    rows = np.array([19, 0, 5, 7, 7, 10])
    expected = np.concatenate(xs, axis=1).reshape(20, 3)[rows]
    assert (gather(xs, rows).variable.array == expected).all()
    gradient_check.check_backward(
        lambda *xs: gather(xs, rows).variable,
        tuple(xs),
        RANDOM.normal(size=(6, 3)),
        dtype=np.float64,
        atol=1e-6,
        rtol=1e-6,
    )


@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 4), (5, 3, 2, 2)])
def test_outputs_are_those_of_the_rows(shape):
    x = RANDOM.normal(size=shape)
    row, output, part = np.array([4, 0, 0, 4]), np.array([1, 0, 2, 1]), shape[2:] or (4,)
    expected = x.reshape(5, 3, *part)[row, output]
    taken = gather_class(x, row, output, part)
    assert (taken.shape, taken.ndim, taken.dtype) == (expected.shape, expected.ndim, x.dtype)
    assert (taken.variable.array == expected).all()
    gradient_check.check_backward(
        lambda x: gather_class(x, row, output, part).variable, x, expected, dtype=np.float64, atol=1e-6, rtol=1e-6
    )


def test_no_outputs_are_taken_of_no_rows():
    none = np.empty(0, np.int64)
    assert gather_class(np.empty((0, 8), np.float32), none, none, (4,)).variable.shape == (0, 4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("loss", "shape"), LOSSES.values(), ids=LOSSES)
def test_the_loss_of_a_part_is_that_of_its_variable(loss, shape, dtype):
    rows = np.array([6, 1, 1])
    results = []
    for use in (lambda part: part, lambda part: part.variable):
        xs = [chainer.Variable(x.astype(dtype)) for x in np.split(RANDOM_LEVELS, [2], axis=1)]
        y = loss(use(gather(xs, rows)))
        y.backward()
        assert [x.grad.dtype for x in xs] == [dtype, dtype]
        results.append([y.array, *(x.grad for x in xs)])
    for mine, reference in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, reference)


@pytest.mark.parametrize(("loss", "shape"), LOSSES.values(), ids=LOSSES)
def test_a_divisor_divides(loss, shape):
    x = chainer.Variable(RANDOM.uniform(-3, 3, shape))
    (whole, gradient), (part, share) = (
        (y.array, chainer.grad([y], [x])[0].array) for y in (loss(x), loss(x, divisor=np.int64(7)))
    )
    np.testing.assert_allclose(part, whole / 7, rtol=1e-12)
    np.testing.assert_allclose(share, gradient / 7, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: smooth_l1_loss(x, x[:1]), r"smooth_l1_loss: t must have the shape of x \(2, 4\), got \(1, 4\)"),
        (lambda x: smooth_l1_loss(x, x, beta=-1), "smooth_l1_loss: beta must be >= 0, got -1"),
        (lambda x: binary_cross_entropy(x, x[:1]), "binary_cross_entropy: t must have the shape of x"),
        (lambda x: cross_entropy(x, np.array([1])), r"cross_entropy: x must be \(R, K\) and t \(R,\), got shapes"),
        (lambda x: sigmoid_focal_loss(x, np.array([1])), r"sigmoid_focal_loss: label must be \(2,\) as x has rows"),
        (lambda x: smooth_l1_loss(x, x, divisor=0), "smooth_l1_loss: divisor must be > 0, got 0"),
        (lambda x: giou_loss(x[:, :3], x[:, :3]), r"giou_loss: x and t must be \(R, 4\), got shapes \(2, 3\)"),
    ],
)
def test_wrong_shapes_are_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(np.zeros((2, 4), np.float32))
