import chainer
import chainer.functions as F
import numpy as np
import pytest

from chainfpn.functions._max_pool_2d import max_pool_2d

#: Side of the window, stride, padding, whether the incomplete window is kept.
CASES = [(3, 2, 1, False), (3, 2, 0, False), (2, 2, 0, False), (2, 2, 0, True), (3, 2, 0, True), (3, 1, 1, False)]
CASES += [(1, 2, 0, False), (3, 3, 0, True)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("ksize", "stride", "pad", "round_up"), CASES)
@pytest.mark.parametrize("size", [(7, 8), (12, 9), (3, 3)])
def test_without_a_gradient_it_is_the_same_to_the_bit(size, ksize, stride, pad, round_up, dtype):
    x = np.random.RandomState(0).standard_normal((2, 3, *size)).astype(dtype)
    x[1, 2, 1, 2] = np.nan
    expected = F.max_pooling_2d(x, ksize, stride=stride, pad=pad, cover_all=round_up).array
    y = max_pool_2d(x, ksize, stride=stride, pad=pad, round_up=round_up)
    assert isinstance(y, chainer.Variable)
    assert y.array.flags.c_contiguous
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.array, expected)
    with chainer.no_backprop_mode():
        np.testing.assert_array_equal(
            max_pool_2d(chainer.Variable(x), ksize, stride=stride, pad=pad, round_up=round_up).array, expected
        )


def test_the_gradient_goes_to_the_maximum():
    x = chainer.Variable(np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6))
    F.sum(max_pool_2d(x)).backward()
    assert x.grad.sum() == 4
    assert x.grad[0, 0, 2, 2] == x.grad[0, 0, 4, 4] == 1


def test_a_map_without_pixels_of_an_image():
    assert max_pool_2d(np.zeros((0, 3, 7, 7), np.float32), pad=1).shape == (0, 3, 4, 4)
